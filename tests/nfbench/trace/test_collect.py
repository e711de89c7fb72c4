"""Table 1 out of made-up files, and traced back to them."""

import pytest

import baselines  # noqa: F401 - registers the samplers that the table asks about
from nfbench import verify
from nfbench.files import write_json
from nfbench.report.tables import join, write_csv
from nfbench.trace.collect import TABLE1_FILES, collect_table1
from nfbench.trace.manifest import VERSION, joined, traced

ORIGIN = {"device": "a device", "precision": "fp32", "commit": "12345678901e2"}
SAMPLERS = ("sequential", "sequential+denoise")


def quality(value, seed):
    space = {"frechet": value, "kid": value / 9, "n": 500, "n_reference": 900, "dim": 8}
    space |= {"kid_subset_size": 50, "rank_deficient": False}
    samples = {"seed": seed, "n": 500, "parameters": 5000, "non_finite": 0, "clipped": 1, "settings": {}}
    samples |= {"cost": {"nfe": 1.0, "score_evaluations": 0, "token_steps": None, "sweeps": None}}
    samples |= {"training": {"seconds": 1.0}, "provenance": ORIGIN, "model_provenance": ORIGIN}
    return {
        **{"samples": samples, "spaces": {"effnet": space, "classifier": space}, "label_accuracy": 0.7},
        **{"reason": None, "provenance": ORIGIN},
    }


def timing(batch_size, seconds):
    extra = {"sampler": "s", "batch_size": batch_size, "device": "a device", "threads": 1, "commit": "def"}
    extra |= {"other_cores": 0.0, "load_average": 0.0}
    return {"stats": {"median": seconds, "q1": seconds, "q3": seconds, "rounds": 5}, "extra_info": extra}


def measured(folder):
    """Write what is measured of two samplers at two seeds; return its paths by kind."""
    files = {kind: [] for kind in TABLE1_FILES}

    def write(kind, name, content):
        write_json(folder / name, content)
        files[kind].append(str(folder / name))

    for seed in range(2):
        for i, name in enumerate(SAMPLERS):
            write("quality", f"quality/{name}/seed{seed}.json", quality(10.0 / (1 + i) + seed / 3, seed))
        for name in ("floor", "floor-noisy"):
            write("floors", f"quality/{name}/seed{seed}.json", quality(1.0, seed))
        errors = {"inversion_mse": 2e-6 / (seed + 1), "residual": 1e-6 / (seed + 1)}
        inversion = errors | {"provenance": ORIGIN}
        write("inversion", f"inversion/sequential/seed{seed}.json", inversion)
        likelihood = {"nll_nats_per_dim": 0.1, "nll_limit": -0.2, "train_seconds": 9.0, "provenance": ORIGIN}
        write("likelihood", f"likelihood/seed{seed}.json", likelihood)
    for name in SAMPLERS:
        write("speed", f"speed/{name}.json", {"benchmarks": [timing(1, 0.3), timing(64, 0.7)]})
    return files


def test_measurements_are_sorted_by_contestant_and_an_inversion_serves_the_denoised_form_too(tmp_path):
    rows = collect_table1("toy", SAMPLERS, measured(tmp_path))
    assert rows["sampler"].tolist() == list(SAMPLERS)
    assert rows["fd_effnet"].tolist() == pytest.approx([10 + 1 / 6, 5 + 1 / 6])
    assert rows["inversion_mse"].tolist() == pytest.approx([1.5e-6] * 2)
    assert rows["residual"].tolist() == pytest.approx([0.75e-6, float("nan")], nan_ok=True)  # of raw images
    assert rows["seeds"].tolist() == ["0 1"] * 2
    assert rows["speedup_batch64"].tolist() == [1, 1]


def test_a_joined_table_is_traced_to_the_measurements_of_every_experiment(tmp_path):
    results, parts, paths = tmp_path / "results", {}, []
    for name in ("toy", "other"):
        files = measured(results / name / "measure")
        path = results / name / "report/table1.csv"
        write_csv(path, collect_table1(name, SAMPLERS, files))
        parts[name] = traced(path, {"kind": "part", "samplers": SAMPLERS, "files": files}, results)
        paths.append(str(path))
    write_csv(results / "table1.csv", join(paths))
    entry = joined(results / "table1.csv", parts, {"kind": "table1", "registers": ["baselines"]})
    assert entry["seeds"] == [0, 1]
    assert entry["commits"] == ["12345678901e2", "def"]
    assert len(entry["files"]) == 2 * 14
    write_json(results / "manifest.json", {"version": VERSION, "tables": {"table1.csv": entry}})
    assert verify.problems(results) == []
    path = results / "other/measure/quality/sequential+denoise/seed1.json"
    write_json(path, quality(7.0, 1))
    found = verify.problems(results)
    assert found[0] == f"{path} has changed since the manifest was written."
    assert any("row 4 (other, sequential+denoise), column fd_effnet: " in sentence for sentence in found)
    assert not any("row 2" in sentence for sentence in found)
