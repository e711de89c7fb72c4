"""Where the time of a run went, from Snakemake's own records of its jobs."""

import json
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate


def where_time_went(records: Path, started: float, ended: float) -> str:
    """Return a table of what the jobs of a run took, a line a rule, longest first; empty without jobs.

    Jobs run side by side, so their seconds may add up to more than the run's.

    Args:
        records: Snakemake's folder `.snakemake/metadata`.
        started, ended: of the run, seconds since the epoch; jobs of earlier runs are left out.
    """
    jobs = sorted(_jobs(records, started), reverse=True)
    if not jobs:
        return ""
    total = sum(seconds for seconds, *_ in jobs)
    rows = []
    for rule in dict.fromkeys(rule for _, rule, _ in jobs):
        ours = [(seconds, name) for seconds, each, name in jobs if each == rule]
        spent = sum(seconds for seconds, _ in ours)
        rows.append((rule, len(ours), spent, f"{spent / total:.0%}", f"{ours[0][0]:.0f} s, {ours[0][1]}"))
    rows.sort(key=lambda row: -row[2])
    table = tabulate(rows, headers=("rule", "jobs", "seconds", "share", "longest"), floatfmt=".0f")
    return f"{len(jobs)} jobs took {total:.0f} s in all, side by side {ended - started:.0f} s:\n{table}"


def _jobs(records: Path, started: float) -> Iterator[tuple[float, str, str]]:
    """Yield (seconds, rule, name) of every job since the start; each of its outputs has a record."""
    seen = set()
    for path in records.rglob("*"):
        if not path.is_file():
            continue
        record = json.loads(path.read_text())
        key = record["rule"], record["starttime"], record["endtime"]
        if record["starttime"] >= started and key not in seen:
            seen.add(key)
            name = Path(record["log"][0]).with_suffix("").as_posix().rpartition("logs/")[2]
            yield record["endtime"] - record["starttime"], record["rule"], name
