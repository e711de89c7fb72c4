"""The kit for a GPU machine that is at hand for minutes; CI rehearses its stages, see .ci/run."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from nfbench.errors import UserError
from nfbench.experiment import load_experiment
from nfbench.measurements import read_rows
from nfbench.provenance import commit

ROOT = Path(__file__).resolve().parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/gpu/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # which dataclasses and named tuples look up
    spec.loader.exec_module(module)
    return module


prepare, speed, stage = (load(name) for name in ("prepare", "speed", "stage"))
NAMES = [line for line in prepare.WHEELS.read_text().splitlines() if not line.startswith("#")]


# prepare


def test_every_package_that_travels_is_in_the_lock():
    found = prepare.pinned(NAMES, (ROOT / "requirements.lock").read_text())
    assert found["snakemake"].startswith("9.")
    with pytest.raises(UserError, match="has no nonsense; take it out"):
        prepare.pinned(["nonsense"], "snakemake==9.1 \\\n")


def test_a_wheel_is_known_by_name_and_version(tmp_path):
    for name in ("jupyter_core-5.9-py3-none-any.whl", "PyYAML-6.0-cp312-cp312-manylinux_2_17_x86_64.whl"):
        (tmp_path / name).touch()
    assert prepare.wheel_in(tmp_path, "jupyter-core", "5.9").name == "jupyter_core-5.9-py3-none-any.whl"
    assert prepare.wheel_in(tmp_path, "pyyaml", "6.0")
    assert prepare.wheel_in(tmp_path, "jupyter-core", "5") is None


def test_other_wheels_are_removed_and_what_is_there_is_not_fetched(tmp_path):
    kept, other = tmp_path / "yte-1.0-py3-none-any.whl", tmp_path / "yte-0.9-py3-none-any.whl"
    for path in (kept, other):
        path.touch()
    prepare.fetch(tmp_path, {"yte": "1.0"}, "3.12")
    assert list(tmp_path.iterdir()) == [kept]


def test_a_wheel_that_cannot_be_had_is_named(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "no such package")
    monkeypatch.setattr(prepare.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match=r"no wheel of yte 1\.0 can be had: no such package"):
        prepare.fetch(tmp_path, {"yte": "1.0"}, "3.12")


# stage


@pytest.fixture
def made(tmp_path):
    return stage.Stage("smoke", tmp_path / "out", tmp_path / "work", seconds=60)


def test_no_part_stops_the_others_and_the_summary_says_how_each_ended(made):
    assert made.part("works", 30, sys.executable, "-c", "")
    assert not made.part("unfinished", 30, sys.executable, "-c", "raise SystemExit(75)", cut=True)
    assert not made.failed
    assert not made.part("fails", 30, sys.executable, "-c", "print('3 passed'); raise SystemExit(3)")
    assert made.failed
    made.end = time.monotonic()
    assert not made.part("late", 30, sys.executable, "-c", "")
    summary = (made.out / "smoke.md").read_text()
    for line in (
        "- fails: exit status 3",
        "- works: ok",
        "- late: no time left",
        "- unfinished: unf",
        "3 passed",
    ):
        assert line in summary


def test_a_part_is_ended_with_its_children(made, tmp_path):
    alive = tmp_path / "alive"
    child = f"import time, pathlib\nwhile True: pathlib.Path({str(alive)!r}).touch(); time.sleep(0.05)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert not made.part("endless", 3, sys.executable, "-c", parent)
    assert made.parts[0][1] == "time is up"
    assert made.failed
    alive.unlink(missing_ok=True)
    time.sleep(0.3)
    assert not alive.exists()


def test_steps_fit_the_time_by_what_a_step_took(tmp_path):
    config = ROOT / "config/fashion.yaml"

    def steps(seconds):
        found = yaml.safe_load(stage.fitted(config, seconds, tmp_path))
        models = found["flows"]["flow"], found["reverses"]["biflow"]
        return tuple(model["training"]["steps"] for model in models)

    assert steps(100) == (3300, 3700)  # 40 s of 12 ms, 60 s of 16 ms: guesses
    for model, rate in (("flow", 128_000), ("biflow", 64_000)):  # images a second of batches of 128
        content = {"benchmarks": [{"name": model, "extra_info": {"images_per_second": {"muon": rate}}}]}
        (tmp_path / f"training-{model}.json").write_text(json.dumps(content))
    assert steps(10) == (12000, 9000)  # taken for 30 s
    assert steps(1e6) == (20000, 20000)  # never more than the file's own


def test_the_shortened_experiment_is_whole_and_leaves_out_what_a_cpu_cannot_make(tmp_path):
    path = tmp_path / "fashion-short.yaml"
    path.write_text(stage.fitted(ROOT / "config/fashion.yaml", 100, tmp_path))
    experiment = load_experiment(path)
    assert list(experiment.reverses) == ["biflow"]
    assert experiment.speed is None
    assert experiment.seeds == [0]
    assert {row.name for row in experiment.samplers} >= {"real", "sequential-static+denoise", "biflow"}


def run(*arguments):
    command = [sys.executable, str(ROOT / "tools/gpu/stage.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_call_that_cannot_work_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/smoke.log").write_text("mine")
    for arguments, sentence in (
        (["smoke", "--out", tmp_path / "full"], "has a stage smoke already; name another folder"),
        (["train", "--out", tmp_path / "new", "--resume", tmp_path], "has no pack/manifest.json"),
        (["speed", "--out", tmp_path / "new", "--resume", tmp_path], "--resume is for the stage train"),
    ):
        done = run(*arguments)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_checkout_that_has_changed_since_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "CARRIED", tmp_path)
    monkeypatch.setattr(stage, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(stage.os, "environ", dict(os.environ))
    monkeypatch.setattr(stage, "CARRIED", tmp_path / "none")
    assert stage.install() is None  # nothing was carried
    monkeypatch.setattr(stage, "CARRIED", tmp_path)
    assert "is not what this version's" in stage.install()
    carried = {"commit": "abc", "files": {"README.md": "0" * 64}}
    (tmp_path / "commit.json").write_text(json.dumps(carried))
    assert "README.md has changed since" in stage.install()
    (tmp_path / "commit.json").write_text(json.dumps(carried | {"files": {}}))
    assert "the wheels cannot be installed" in stage.install()  # there are none
    assert stage.os.environ["NFBENCH_COMMIT"] == "abc"


# speed


def test_every_step_of_the_plan_names_a_row_and_is_made_once():
    names = {row.name for row in load_experiment(ROOT / "config/paper-speed.yaml").samplers}
    assert {step.sampler for step in speed.PLAN} <= names
    parts = ("precisions", "batch_sizes", "guidance")
    cells = [
        (step.sampler, step.repetition, *cell)
        for step in speed.PLAN
        for cell in itertools.product(*(getattr(step, part) for part in parts))
    ]
    assert len(cells) == len(set(cells))


def test_rows_are_banked_after_every_process_and_a_failure_stops_nothing(tmp_path, monkeypatch, capsys):
    cell = {
        **{"precision": "fp32", "batch_size": 1, "guidance": 0.0, "seconds": 0.002, "device": "a GPU"},
        **{
            "commit": "abc",
            "other_cores": 0.0,
            "stolen_cores": 0.0,
            "stable": True,
            "waits_passively": False,
        },
        **{"clock_mhz": None, "peak_memory_bytes": 1, "precision_error": None},
    }
    asked = []

    def process(request, run, report):
        asked.append(request)
        if request["row"]["name"] == "sequential-static-B":
            raise UserError("out of luck.")
        return [cell]

    monkeypatch.setattr(speed, "run_process", process)
    config = str(ROOT / "config/paper-speed-narrow.yaml")
    call = ["speed.py", config, str(tmp_path), "--device=cpu", f"--known={tmp_path / 'known.csv'}"]
    monkeypatch.setattr(sys, "argv", call)
    assert speed.main() == 1
    assert "failed" in capsys.readouterr().out
    rows = read_rows(tmp_path / "results/paper-speed-narrow/measurements.csv")
    timed = rows[rows["metric"] == "ms_per_image"]
    assert timed["sampler"].tolist() == ["biflow-B", "sequential-B"]
    assert timed["value"].tolist() == [2.0, 2.0]
    assert [request["row"]["name"] for request in asked] == [
        "biflow-B",
        "sequential-static-B",
        "sequential-B",
    ]
    assert all(request["precisions"] == ["fp32"] for request in asked)
    assert speed.main() == 1  # goes on with what is not known
    assert [request["row"]["name"] for request in asked[3:]] == ["sequential-static-B"]
    kept = yaml.safe_load((tmp_path / "results/paper-speed-narrow/experiment.yaml").read_text())
    assert kept["experiment"] == "paper-speed-narrow"


def test_a_copy_without_history_is_told_its_commit(monkeypatch):
    monkeypatch.setattr("nfbench.provenance._git", lambda *_: None)
    for given in ("0123456789ab", None):
        commit.cache_clear()
        if given:
            monkeypatch.setenv("NFBENCH_COMMIT", given)
        else:
            monkeypatch.delenv("NFBENCH_COMMIT")
        assert commit() == given
    commit.cache_clear()
