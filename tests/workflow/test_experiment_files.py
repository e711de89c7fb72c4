"""What the workflow makes of experiment files, right and wrong ones; nothing is run."""

import pytest
import yaml

from nfbench.experiment import load_experiment
from tests.workflow.runner import TINY, rules_to_run, snakemake


@pytest.fixture
def changed(tmp_path):
    """Return a function that writes tiny.yaml with some keys replaced, and returns its path."""

    def write(**changes):
        config = tmp_path / "tiny.yaml"
        config.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | changes))
        return config

    return write


def refusal(done):
    """Return the one sentence with which a run was refused."""
    assert done.returncode != 0
    errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return errors[0]


def test_a_bad_experiment_file_is_refused_in_one_sentence(tmp_path, changed):
    sentence = "unknown key 'sedes'; did you mean 'seeds'?"
    assert sentence in refusal(snakemake(tmp_path, "-n", config=changed(sedes=[0])))
    assert not (tmp_path / "results").exists()


def test_a_key_of_the_command_line_is_checked_like_one_of_the_file(tmp_path):
    assert "'seeds' is 'many'" in refusal(snakemake(tmp_path, "-n", "--config", "seeds=many"))


def test_two_config_files_are_refused(tmp_path, changed):
    done = snakemake(tmp_path, "-n", "--configfile", str(TINY), str(changed()), config=None)
    assert "two config files are given" in refusal(done)


def test_seeds_and_nested_keys_are_taken_from_the_command_line(tmp_path):
    nested = "flows={flow: {training: {steps: 61}}}"
    done = snakemake(tmp_path, "-n", "results/tiny/measurements.csv", "--config", "seeds=[0,3]", nested)
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    assert "results/fashion14" not in text  # nothing of the default experiment
    assert "results/tiny/flows/flow/seed3.safetensors" in text
    assert "results/tiny/flows/flow/seed0.safetensors" in text


def test_the_default_experiment_trains_both_models_and_measures_quality_and_speed(tmp_path):
    done = snakemake(tmp_path, "-n", config=None)
    assert done.returncode == 0, done.stderr
    rules = rules_to_run(done.stdout + done.stderr)
    assert {
        "train_flow",
        "train_reverse",
        "measure_quality",
        "measure_reconstruction",
        "measure_speed",
    } <= rules
    assert "results/tiny" not in done.stdout + done.stderr


@pytest.mark.parametrize("term", ["perceptual", "energy"])
def test_only_a_loss_that_compares_its_features_waits_for_the_classifier(tmp_path, changed, term):
    target = "results/tiny/reverses/biflow/seed0.safetensors"
    reverses = yaml.safe_load(TINY.read_text())["reverses"]
    reverses["biflow"][term] = {"classifier": 0.4, "effnet": 0.1}
    runs = [snakemake(tmp_path, "-n", target, config=config) for config in (TINY, changed(reverses=reverses))]
    rules = [rules_to_run(done.stdout + done.stderr) for done in runs]
    assert rules == [{"train_flow", "train_reverse"}, {"train_flow", "train_reverse", "train_classifier"}]


def test_an_own_noisy_sampler_is_compared_with_the_noisy_exact_inverse(tmp_path, changed):
    (tmp_path / "mine.py").write_text(
        'class Mine:\n    output = "noisy"\n    def __init__(self, flow): ...\n'
    )
    samplers = ["sequential", "sequential+denoise", {"mine": {"type": "mine.py:Mine"}}]
    done = snakemake(tmp_path, "-n", config=changed(samplers=samplers))
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = (done.stdout + done.stderr).split("\nrule ")
    (job,) = (job for job in jobs if "output: results/tiny/measure/quality/mine/seed0.csv" in job)
    inputs = job.split("input: ")[1].split("\n")[0]
    assert "results/tiny/samples/sequential/seed0.npy" in inputs
    assert "sequential+denoise" not in inputs


def test_a_timing_experiment_trains_and_draws_nothing(tmp_path):
    done = snakemake(tmp_path, "-n", config=TINY.with_name("paper-speed.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    rules = rules_to_run(done.stdout + done.stderr)
    assert "measure_speed" in rules
    assert not {"train_flow", "train_reverse", "draw_samples", "measure_quality", "plot_images"} & rules


def test_the_inverses_are_those_of_the_default_experiment_s_flow():
    default, inverses = (
        load_experiment(TINY.with_name(f"{name}.yaml")) for name in ("fashion14", "fashion14-inverses")
    )
    assert inverses.flows == default.flows
    assert inverses.data == default.data
