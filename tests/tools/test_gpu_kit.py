"""The kit for a GPU machine that is at hand for minutes; CI rehearses its stages, see .ci/run."""

import importlib.util
import json
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
    assert not made.part("fails", 30, sys.executable, "-c", "print('3 passed'); raise SystemExit(3)")
    assert made.part("works", 30, sys.executable, "-c", "")
    made.end = time.monotonic()
    assert not made.part("late", 30, sys.executable, "-c", "")
    summary = (made.out / "summary.md").read_text()
    for line in ("- fails: exit status 3", "- works: ok", "- late: no time left", "3 passed"):
        assert line in summary


def test_a_part_is_ended_with_its_children(made, tmp_path):
    alive = tmp_path / "alive"
    child = f"import time, pathlib\nwhile True: pathlib.Path({str(alive)!r}).touch(); time.sleep(0.05)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert not made.part("endless", 3, sys.executable, "-c", parent)
    assert made.parts[0][1] == "time is up"
    alive.unlink(missing_ok=True)
    time.sleep(0.3)
    assert not alive.exists()


def test_steps_fit_the_time_by_what_a_step_took(tmp_path):
    config = ROOT / "config/fashion.yaml"
    before = yaml.safe_load(config.read_text())
    guessed = yaml.safe_load(stage.fitted(config, 100, tmp_path))
    assert guessed["seeds"] == [0]
    assert guessed["flows"]["flow"]["training"]["steps"] == 3300  # 40 s of 12 ms
    assert guessed["reverses"]["biflow"]["training"]["steps"] == 3700  # 60 s of 16 ms
    assert guessed["samplers"] == before["samplers"]
    for model, rate in (("flow", 128_000), ("biflow", 64_000)):  # images a second of batches of 128
        notes = {"images_per_second": {"muon": rate}}
        content = {"benchmarks": [{"name": model, "extra_info": notes}]}
        (tmp_path / f"training-{model}.json").write_text(json.dumps(content))
    timed = yaml.safe_load(stage.fitted(config, 1e6, tmp_path))
    assert timed["flows"]["flow"]["training"]["steps"] == 20000  # never more than the file's own
    timed = yaml.safe_load(stage.fitted(config, 10, tmp_path))  # taken for 30 s
    assert timed["flows"]["flow"]["training"]["steps"] == 12000
    assert timed["reverses"]["biflow"]["training"]["steps"] == 9000


# speed


def test_every_step_of_the_plan_names_a_row_and_is_made_once():
    names = {row.name for row in load_experiment(ROOT / "config/paper-speed.yaml").samplers}
    assert {step.sampler for step in speed.PLAN} <= names
    cells = [
        (s.sampler, p, n, w)
        for s in speed.PLAN
        for p in s.precisions
        for n in s.batch_sizes
        for w in s.guidance
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

    def process(request, report):
        asked.append(request)
        if request["row"]["name"] == "sequential-static-B":
            raise UserError("out of luck.")
        return [cell]

    monkeypatch.setattr(speed, "run_process", process)
    config = str(ROOT / "config/paper-speed-narrow.yaml")
    monkeypatch.setattr(sys, "argv", ["speed.py", config, str(tmp_path), "--device=cpu"])
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
