"""Where the time of a run went, from Snakemake's own records of its jobs."""

import json
from pathlib import Path

from tabulate import tabulate


def where_time_went(records: Path, started: float, ended: float) -> str:
    """Return a table of what the jobs of a run took, a line a rule, longest first; empty without jobs.

    Jobs run side by side, so their seconds may add up to more than the run's.

    Args:
        records: Snakemake's folder `.snakemake/metadata`.
        started, ended: of the run, seconds since the epoch; jobs of earlier runs are left out.
    """
    jobs = _jobs(records, started)
    if not jobs:
        return ""
    total = sum(seconds for _, _, seconds in jobs)
    rows = []
    for rule in dict.fromkeys(rule for rule, _, _ in jobs):
        ours = [(seconds, log) for each, log, seconds in jobs if each == rule]
        (most, longest), spent = max(ours), sum(seconds for seconds, _ in ours)
        name = Path(longest).with_suffix("").as_posix().rpartition("logs/")[2]
        rows.append((rule, len(ours), spent, f"{spent / total:.0%}", f"{most:.0f} s, {name}"))
    rows.sort(key=lambda row: -row[2])
    table = tabulate(rows, headers=("rule", "jobs", "seconds", "share", "longest"), floatfmt=".0f")
    return f"{len(jobs)} jobs took {total:.0f} s together, the run {ended - started:.0f} s:\n{table}"


def _jobs(records: Path, started: float) -> list[tuple[str, str, float]]:
    """Return (rule, log, seconds) of every job since the start; each of its outputs has a record."""
    spans: dict[tuple[str, str], tuple[float, float]] = {}
    for path in (path for path in records.rglob("*") if path.is_file()):
        try:
            record = json.loads(path.read_text())
            key, begun, ended = (record["rule"], record["log"][0]), record["starttime"], record["endtime"]
        except (OSError, ValueError, LookupError):  # cut off, or of a job that keeps no log
            continue
        if begun >= started:
            first, last = spans.get(key, (begun, ended))
            spans[key] = min(first, begun), max(last, ended)
    return [(*key, last - first) for key, (first, last) in spans.items()]
