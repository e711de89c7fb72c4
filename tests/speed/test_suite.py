"""The suite itself: that it runs, and that its JSON is read back."""

import runpy
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from nfbench.measure.protocol import read_run
from nfbench.measure.ratios import ratio_table, read_ratios
from nfbench.measure.speed import read_benchmark_json

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)


def run_suite(*options: str, cells: Iterable[str] = ("tests/speed",)) -> subprocess.CompletedProcess[str]:
    """Run tests/speed, or some of its cells."""
    return run("-m", "pytest", *cells, "-q", "-p", "no:cacheprovider", *options)


def test_a_cell_of_the_suite_becomes_a_row(tmp_path: Path):
    out = tmp_path / "speed.json"
    cell = ["--sampler", "sequential", "--batch-size", "2", "--max-seconds", "0.2"]
    done = run_suite("--benchmark-only", *cell, f"--benchmark-json={out}")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = read_benchmark_json(out)
    assert (row["sampler"], row["batch_size"], row["device"]) == ("sequential", 2, "cpu")
    assert row["checkpoint_sha256"] == "random"
    assert row["rounds"] >= 5
    assert 0 < row["q1_s"] <= row["median_s"] <= row["q3_s"]
    assert row["seconds_per_image"] == pytest.approx(row["median_s"] / 2)


def test_a_misspelt_sampler_is_named_and_nothing_is_timed():
    done = run_suite("--benchmark-only", "--sampler", "sequentail")
    assert done.returncode != 0
    assert "did you mean 'sequential'?" in done.stdout + done.stderr


def test_a_cell_of_ratios_becomes_a_row_and_jacobi_asks_for_a_trained_flow(tmp_path: Path):
    out, suite = tmp_path / "ratios.json", "tests/speed/test_inverse_ratios.py"
    cells = [f"{suite}::test_exact_inverses[T49-batch2-guidance1]", f"{suite}::test_jacobi_inverses"]
    short = ["--batch-size", "2", "--max-seconds", "0.2"]
    done = run_suite("--benchmark-only", *short, f"--benchmark-json={out}", cells=cells)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the number of sweeps depends on the weights" in done.stdout
    (row,) = read_ratios(out)
    assert (row["tokens"], row["batch_size"], row["guidance"], row["device"]) == (49, 2, 1.0, "cpu")
    assert row["rounds"] >= 5
    assert list(row["milliseconds"]) == ["published", "sequential", "static"]
    assert list(row["ratios"]) == ["static/published", "static/sequential"]
    assert all(0 < each["q1"] <= each["median"] <= each["q3"] for each in row["ratios"].values())
    assert "| 49 | 2 | 1 | " in ratio_table([row])


def test_a_cell_of_training_becomes_a_row_with_its_throughput_and_utilisation(tmp_path: Path):
    out, suite = tmp_path / "ratios.json", "tests/speed/test_training_ratios.py"
    short = ["--max-seconds", "0.2", "--min-rounds", "2", f"--benchmark-json={out}"]
    done = run_suite("--benchmark-only", *short, cells=[f"{suite}::test_training_steps[fashion14-biflow]"])
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = read_ratios(out)
    contestants = ["published", "adamw", "muon"]
    assert list(row["ratios"]) == ["published/adamw", "published/muon"]
    for name in contestants:
        seconds = row["milliseconds"][name] / 1e3
        assert row["images_per_second"][name] == pytest.approx(row["batch_size"] / seconds)
        assert 0 < row["utilisation"][name] < 2
    assert row["flops_per_image"] > 1e6
    assert "| fashion14, biflow | 49 | 32 | 0 | " in ratio_table([row])


def test_a_process_of_the_protocol_times_weighs_and_says_what_is_missing(tmp_path: Path):
    out, suite = tmp_path / "run.json", "tests/speed/test_protocol.py"
    sizes = ["--batch-size", "2", "--batch-size", "1", "--max-seconds", "0.05", "--min-rounds", "2"]
    options = ["--benchmark-only", "--sampler", "farmer+denoise", "--work", *sizes]
    done = run_suite(*options, f"--benchmark-json={out}", cells=[suite])
    assert done.returncode == 0, done.stdout + done.stderr
    found = read_run(out, [(1, 0.0), (1, 1.0), (2, 0.0), (2, 1.0)])
    one, two = found["cells"]
    assert (one["batch_size"], two["batch_size"]) == (1, 2)
    assert one["work"]["flops_per_image"] == two["work"]["flops_per_image"] > 1e6
    assert all(0 < cell["work"]["utilisation"] < 2 for cell in (one, two))
    assert one["work"]["joules_per_image"] is None
    assert "cpu device" in one["work"]["joules_reason"]
    assert one["peak_memory_bytes"] is None or one["peak_memory_bytes"] > 0
    assert [cell["reason"] for cell in found["missing"]] == [
        "not guided: farmer was trained without guidance; set its scale to 0."
    ] * 2
    assert found["provenance"]["device_type"] == "cpu"
    assert found["conditions"]["threads"] == one["threads"]


def test_a_profile_names_every_group_of_operators(monkeypatch, capsys):
    script = ROOT / "tests/speed/profile_inverse.py"
    monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])
    monkeypatch.setattr(sys, "argv", [str(script), "--image-size", "6", "--calls", "1", "--guidance", "1"])
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    for group in ("matrix products", "attention", "layer norm", "copies into the cache", "elementwise"):
        assert f"\n{group}" in printed
    assert "\nother " not in printed.replace("\nother copies", "")
