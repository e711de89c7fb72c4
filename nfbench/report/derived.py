"""Rows derived from measurement rows: speed-ups, A/A replicates, and quality against training time.

Derived rows have the source "derived" and are made anew before every table, so none is ever stored.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from nfbench.measurements import COLUMNS, row
from nfbench.report.cells import Cell, Cells, Key
from nfbench.stats import between

DERIVED = "derived"
# Error at which an inverse counts as exact, [-1, 1] units squared: single precision's rounding, with room.
EXACT_MSE = 1e-8
TIME, OVER_EXACT = "ms_per_image", "ms_per_image_over_exact"
PASSED = {"seconds_until_below_exact": 1.0, "seconds_until_half_of_exact": 0.5}


def with_derived(rows: pd.DataFrame, experiments: Mapping[Key, Mapping[str, Any]]) -> Cells:
    """Return measurements with the rows that follow from them."""
    rows = rows[rows["source"] != DERIVED]
    cells = Cells(rows, experiments)
    made = []
    for key in cells.keys:
        about = {"origin": key[0], "experiment": key[1], "source": DERIVED}
        for found in (*_speed_ups(cells, key), *_replicates(cells, key), *_training_time(cells, key)):
            made.append(dict.fromkeys(COLUMNS, "") | dict.fromkeys(_NUMBERS, np.nan) | found | about)
    return Cells(pd.concat([rows, pd.DataFrame(made, columns=list(COLUMNS))]) if made else rows, experiments)


_NUMBERS = ("low", "high", "n", "batch_size", "guidance", "step", "repetition")


def _speed_ups(cells: Cells, key: Key) -> Iterator[dict[str, Any]]:
    """Yield every sampler's time over that of its flow's fastest exact inverse with the same kind of output.

    Compared at equal device, precision, batch size and guidance. An iterative inverse whose error is that of
    rounding is as good a baseline as any.
    """
    known, groups = cells.rows.get(key, {}), defaultdict(list)
    for name in cells.samplers(key, TIME):
        for at in _settings(cells, key, name):
            if name in known and cells.cell(key, name, TIME, **at).value:
                groups[(known[name]["flow"], known[name]["output"], *at.items())].append(name)
    for (_, _, *at), names in groups.items():
        where = dict(at)
        exact = [name for name in names if _is_exact(cells, key, name)]
        if not exact:
            continue
        fastest = min(exact, key=lambda name: cells.cell(key, name, TIME, **where).value)
        for name in names:
            yield _over(cells, key, name, fastest, where)


def _settings(cells: Cells, key: Key, name: str) -> list[dict[str, Any]]:
    columns = ("device", "precision", "batch_size", "guidance")
    records = cells.records(key, name, TIME, precision=None)
    found = dict.fromkeys(tuple(record[c] for c in columns) for record in records)
    return [dict(zip(columns, values, strict=True)) for values in found]


def _is_exact(cells: Cells, key: Key, name: str) -> bool:
    about = cells.rows[key][name]
    error = cells.cell(key, name, "inversion_mse").value
    return about["exact"] or (about["iterative"] and error is not None and error <= EXACT_MSE)


def _over(cells: Cells, key: Key, name: str, fastest: str, where: Mapping[str, Any]) -> dict[str, Any]:
    about = {"sampler": name, "relative_to": fastest, **where}
    if name == fastest:
        return row(OVER_EXACT, 1.0, **about)
    found = cells.time_ratio(key, name, fastest, TIME, **where)
    if found is None:
        return row(OVER_EXACT, None, **about)
    flag = cells.cell(key, name, TIME, **where).flag or cells.cell(key, fastest, TIME, **where).flag
    return row(OVER_EXACT, found.mean, low=_nan(found.low), high=_nan(found.high), flag=flag, **about)


def _replicates(cells: Cells, key: Key) -> Iterator[dict[str, Any]]:
    """Yield the time of every A/A replicate over that of its sampler, process by process."""
    for name in cells.samplers(key, f"{TIME}_replicate"):
        for at in _settings(cells, key, name):
            again, first = (
                cells.cell(key, name, metric, **at).parts for metric in (f"{TIME}_replicate", TIME)
            )
            if ratios := [again[i] / first[i] for i in again if i in first]:
                yield from (
                    row(f"{TIME}_replicate_ratio", value, repetition=i, sampler=name, relative_to=name, **at)
                    for i, value in enumerate(ratios)
                )


def _nan(value: float | None) -> float:
    return np.nan if value is None else value


def _training_time(cells: Cells, key: Key) -> Iterator[dict[str, Any]]:
    """Yield what the training time of checkpoints buys, compared with exact inverses of longer trained flows.

    For every row of a reverse with a step: `total_train_seconds` of it and its flow, the distance that an
    exact inverse has at that time (`fd_exact`), the ratio of the two, and the same above the distance of
    real images; for the last step of a group also when it passed the exact inverse, and half its distance.
    Steps of a flow cost the same seconds everywhere, the mean over all flows: on a machine whose clock is
    unsteady, a curve would else be shifted by the luck of one training.
    """
    known = cells.rows.get(key, {})
    steps = {name: about for name, about in known.items() if about["sweep"] == "step" and about["learned"]}
    flows = _flow_curve(cells, key)
    if not steps or len(flows) < 2:
        return
    per_step = sum(flow["seconds"] for flow in flows) / sum(flow["steps"] for flow in flows)
    times = [flow["steps"] * per_step for flow in flows]
    totals, seconds = {}, {}
    for name, about in steps.items():
        trained = cells.of_model(key, about["reverse"], "train_seconds", about.get("step")).value
        before = cells.of_model(key, about["flow"], "train_steps").value
        if trained is not None and before is not None:
            seconds[name], totals[name] = trained, trained + before * per_step
            yield row("total_train_seconds", totals[name], sampler=name)
    for space in dict.fromkeys(space for flow in flows for space in flow["fd"]):
        distances = [flow["fd"].get(space, np.nan) for flow in flows]
        exact = {name: float(between(total, times, distances)) for name, total in totals.items()}
        for name in totals:
            yield from _against_exact(cells, key, name, space, exact[name])
        yield from _crossings(cells, key, space, exact, seconds)


def _flow_curve(cells: Cells, key: Key) -> list[dict[str, Any]]:
    """Return training time and distances of the exact rows, those of every flow once."""
    found = {}
    for name, about in cells.rows.get(key, {}).items():
        fd = {
            space: cell.value
            for space, cell in _distances(cells, key, name).items()
            if cell.value is not None
        }
        seconds = cells.of_model(key, about["flow"], "train_seconds", about.get("step")).value
        steps = cells.of_model(key, about["flow"], "train_steps", about.get("step")).value
        if (
            about["exact"]
            and about["output"] == "clean"
            and not about["guidance"]
            and fd
            and seconds
            and steps
        ):
            found.setdefault(
                (about["flow"], about.get("step")), {"seconds": seconds, "steps": steps, "fd": fd}
            )
    return sorted(found.values(), key=lambda flow: flow["steps"])


def _distances(cells: Cells, key: Key, name: str) -> dict[str, Cell]:
    spaces = ("effnet", "classifier", "inception", "dinov2")
    return {space: cells.cell(key, name, "fd", space=space) for space in spaces}


def _against_exact(cells: Cells, key: Key, name: str, space: str, exact: float) -> Iterator[dict[str, Any]]:
    cell, real = (cells.cell(key, sampler, "fd", space=space) for sampler in (name, "real"))
    about = {"sampler": name, "space": space, "flag": cell.flag}
    yield row("fd_exact", exact, **about)
    if cell.value is None:
        return
    yield row("fd_over_exact", cell.value / exact, **about)
    if real.value is not None:
        yield row("fd_above_real_over_exact", (cell.value - real.value) / (exact - real.value), **about)


def _crossings(
    cells: Cells, key: Key, space: str, exact: Mapping[str, float], seconds: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """Yield when each group first has at most a factor of the exact inverse's distance.

    Read off the checkpoints, so the true time lies between that checkpoint and the one before.
    """
    known, groups = cells.rows[key], defaultdict(list)
    for name in exact:
        groups[known[name]["group"]].append(name)
    for names in groups.values():
        last = next((name for name in names if known[name]["last"]), None)
        distance = {name: cells.cell(key, name, "fd", space=space) for name in names}
        for metric, factor in PASSED.items():
            below = [
                seconds[name]
                for name, cell in distance.items()
                if cell.value is not None and cell.value <= factor * exact[name]
            ]
            if last and below:
                yield row(metric, min(below), sampler=last, space=space, flag=distance[last].flag)
