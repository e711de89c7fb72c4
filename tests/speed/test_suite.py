"""The suite itself: that it runs, and that its JSON is read back."""

import subprocess
import sys
from pathlib import Path

import pytest

from nfbench.measure.speed import read_benchmark_json

ROOT = Path(__file__).resolve().parents[2]


def run_suite(*options: str) -> subprocess.CompletedProcess[str]:
    """Run tests/speed in a process of its own."""
    command = [sys.executable, "-m", "pytest", "tests/speed", "-q", "-p", "no:cacheprovider"]
    return subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)


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
