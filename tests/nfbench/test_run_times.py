"""The table of where a run's time went."""

import json
from pathlib import Path

from nfbench.run_times import where_time_went


def record(folder: Path, output: str, rule: str, log: str, started: float, seconds: float) -> None:
    """Write what Snakemake keeps of an output."""
    times = {"starttime": started, "endtime": started + seconds}
    folder.mkdir(exist_ok=True)
    (folder / output).write_text(json.dumps({"rule": rule, "log": [log]} | times))


def test_every_job_of_the_run_counts_once_whatever_it_wrote(tmp_path):
    folder = tmp_path / "metadata"
    for output, later in (("weights", 0.0), ("rows", 0.001)):  # Snakemake takes the times file by file
        record(folder, output, "train_flow", "results/a/logs/train_flow/flow/seed0.log", 1000.0 + later, 60.0)
    record(folder, "b", "draw_samples", "results/a/logs/draw_samples/b/seed0.log", 1060.0, 10.0)
    record(folder, "c", "draw_samples", "results/a/logs/draw_samples/c/seed0.log", 1060.0, 30.0)
    record(folder, "old", "report_page", "results/logs/report_page.log", 999.0, 5.0)
    (folder / "cut").write_text('{"rule": "tra')
    first, _, _, *lines = where_time_went(folder, 1000.0, 1095.0).splitlines()
    assert first == "3 jobs took 100 s together, the run 95 s:"
    assert [line.split() for line in lines] == [
        ["train_flow", "1", "60", "60%", "60", "s,", "train_flow/flow/seed0"],
        ["draw_samples", "2", "40", "40%", "30", "s,", "draw_samples/c/seed0"],
    ]


def test_a_run_without_jobs_has_nothing_to_say(tmp_path):
    assert where_time_went(tmp_path, 0.0, 1.0) == ""
