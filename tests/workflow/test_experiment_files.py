"""What the workflow makes of experiment files, right and wrong ones; nothing is run."""

import pytest
import yaml

from tests.workflow.runner import TINY, rules_to_run, snakemake


def test_nothing_of_the_default_experiment_leaks_into_another(tmp_path):
    values = yaml.safe_load(TINY.read_text())
    del values["speed"]["max_seconds"]  # the default's own value must not take its place
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(values))
    done = snakemake(tmp_path, "-n", config=config)
    assert done.returncode == 0
    assert "results/fashion14" not in done.stdout + done.stderr
    default = snakemake(tmp_path, "-n", config=None)
    assert default.returncode == 0
    assert "results/fashion14/" in default.stdout + default.stderr
    assert "results/tiny" not in default.stdout + default.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sedes": [0]}, "unknown key 'sedes'; did you mean 'seeds'?"),
        ({"reverse": {}}, "sampler 'biflow' needs the section 'reverse.biflow'"),
    ],
    ids=["against the schema", "keys that do not fit"],
)
def test_a_bad_experiment_file_is_refused_in_one_sentence(tmp_path, change, sentence):
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | change))
    done = snakemake(tmp_path, "-n", config=config)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert sentence in errors[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("term", ["perceptual", "energy"])
def test_only_a_loss_that_compares_its_features_waits_for_the_classifier(tmp_path, term):
    target = "results/tiny/reverse/biflow/seed0.safetensors"
    without = snakemake(tmp_path, "-n", target)
    values = yaml.safe_load(TINY.read_text())
    values["reverse"]["biflow"][term] = {"classifier": 0.4, "effnet": 0.1}
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(values))
    waiting = snakemake(tmp_path, "-n", target, config=config)
    rules = [rules_to_run(done.stdout + done.stderr) for done in (without, waiting)]
    assert rules == [
        {"train_forward", "train_reverse"},
        {"train_forward", "train_reverse", "train_classifier"},
    ]


@pytest.mark.parametrize(
    ("guidance_max", "options"),
    [(2.0, {}), (0.0, {"biflow": {"evaluations": 2}})],
    ids=["trained", "two evaluations"],
)
def test_guidance_of_a_learned_sampler_runs_with_a_figure_of_its_own(tmp_path, guidance_max, options):
    values = yaml.safe_load(TINY.read_text())
    values["sampling"] |= {"guidance": 2.0, "options": options}
    values["reverse"]["biflow"] |= {"guidance_max": guidance_max}
    values["guidance"] = {"scales": [0, 1], "n_samples": 50}
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(values))
    done = snakemake(tmp_path, "-n", config=config)
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    assert {"measure_guidance", "plot_guidance"} <= rules_to_run(text)
    assert "results/tiny/measure/guidance/seed0.json" in text


def test_seeds_are_taken_from_the_command_line(tmp_path):
    target = "results/tiny/report/table1.csv"
    done = snakemake(tmp_path, "-n", target, "--config", "seeds=[0,3]")
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    assert "results/tiny/forward/seed3.safetensors" in text
    assert "results/tiny/forward/seed0.safetensors" in text


def test_table_1_joins_the_experiments_that_the_file_lists(tmp_path):
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | {"experiments": ["tiny", "digits"]}))
    done = snakemake(tmp_path, "-n", "results/table1.csv", config=config)
    assert done.returncode == 0
    text = done.stdout + done.stderr
    joined = text[text.index("rule join_tables") :]
    assert "input: results/tiny/report/table1.csv, results/digits/report/table1.csv" in joined


def test_a_learned_reverse_with_noisy_images_is_compared_with_the_raw_inverse_and_denoised_by_its_flow(
    tmp_path,
):
    values = yaml.safe_load(TINY.read_text())
    values["reverse"] = {"farmer": {"training": values["reverse"]["biflow"]["training"]}}
    values["sampling"]["samplers"] = ["jacobi", "farmer", "farmer+denoise"]
    del values["budget"], values["guidance"]  # which compare clean images with the denoised inverse
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(values))
    done = snakemake(tmp_path, "-n", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = (done.stdout + done.stderr).split("\nrule ")

    def inputs_of(output):
        (job,) = (job for job in jobs if f"output: {output}" in job)
        return job.split("input: ")[1].split("\n")[0].split(", ")

    flow, student = (f"results/tiny/{model}/seed0.safetensors" for model in ("forward", "reverse/farmer"))
    measure = "results/tiny/measure"
    assert "results/tiny/sample/sequential/seed0.npy" in inputs_of(f"{measure}/inversion/farmer/seed0.json")
    assert flow in inputs_of("results/tiny/sample/farmer+denoise/seed0.npz")
    assert inputs_of(f"{measure}/speed/farmer+denoise.json")[:2] == [student, flow]
    assert flow not in inputs_of(f"{measure}/speed/farmer.json")
    assert "sequential+denoise" not in done.stdout + done.stderr
