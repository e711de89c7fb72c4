"""The protocol around the speed suite: independent processes in random order, and intervals over them.

Every round times every contestant once, each in a process of its own, in an order drawn for that round;
one contestant is timed twice a round, as itself and as its twin, and the ratio of the two must be 1. A time
is the median over calls in a process; what is reported is the geometric mean over processes with Student's
interval on logarithms, and a ratio is of the two processes of one round. What the machine disturbed
(`nfbench.measure.machine.disturbance`) is kept in the file and left out of every mean.
"""

import itertools
import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nfbench.errors import UserError
from nfbench.files import read_json
from nfbench.measure.machine import disturbance

LEVEL = 0.95
TWIN = "#again"  # marks the second of the two that are the same contestant
MEASURED = ("median_s", "other_cores", "stolen_cores", "load_average", "threads", "batch_size", "guidance")


@dataclass(frozen=True)
class Interval:
    """A geometric mean of positive values and its 95% interval; None bounds for a single value."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def contains(self, value: float) -> bool:
        """Say whether the interval, where there is one, contains a value."""
        return self.low is not None and self.low <= value <= self.high


def interval(values: Sequence[float]) -> Interval:
    """Return the geometric mean of values and Student's interval, taken on their logarithms.

    Raises:
        ValueError: there is no value, or one is not positive.
    """
    if not values or min(values) <= 0:
        raise ValueError(f"no geometric mean of {list(values)}")
    from scipy import stats

    logs, n = [math.log(value) for value in values], len(values)
    mean = math.fsum(logs) / n
    if n == 1:
        return Interval(math.exp(mean), None, None, 1)
    deviation = math.sqrt(math.fsum((log - mean) ** 2 for log in logs) / (n - 1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * deviation / math.sqrt(n)
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half), n)


def entrants(contestants: Sequence[str], twin: str) -> list[str]:
    """Return what a round times: every contestant, and one of them again.

    Raises:
        UserError: `twin` is no contestant.
    """
    if twin not in contestants:
        raise UserError(
            f"'speed.protocol.twin' is '{twin}'; it must be one of {', '.join(contestants)}, the samplers of"
            " the experiment."
        )
    return [*contestants, twin + TWIN]


def orders(entrants: Sequence[str], rounds: int, seed: int) -> list[list[str]]:
    """Draw the order of every round."""
    rng = random.Random(seed)
    return [rng.sample(list(entrants), len(entrants)) for _ in range(rounds)]


def read_run(path: str | Path, cells: Iterable[tuple[int, float]]) -> dict[str, Any]:
    """Read what a process of tests/speed/test_protocol.py wrote.

    Args:
        cells: (batch size, scale of guidance) of all that it was to time.

    Returns:
        cells: what was timed, with `disturbed`, a reason or None; missing: [batch_size, guidance, reason] of
        the others; provenance and conditions of the process, None where it timed nothing.

    Raises:
        UserError: the file is missing, no JSON, or lacks what the suite writes.
    """
    if Path(path).is_file() and not Path(path).read_text():
        # pytest-benchmark writes nothing where nothing was timed.
        reason = "nothing was timed, at no batch size; the log tells why"
        return {"cells": [], "missing": _missing(cells, reason), "provenance": None, "conditions": None}
    content = read_json(path)
    try:
        run = dict(content["protocol"])
        run["cells"] = [_cell(benchmark) for benchmark in content["benchmarks"]]
        known = {(cell["batch_size"], cell["guidance"]) for cell in [*run["cells"], *run["missing"]]}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no result of tests/speed/test_protocol.py ({type(error).__name__}: {error}); delete"
            " it and run the protocol again."
        ) from None
    run["missing"] += _missing([cell for cell in cells if cell not in known], "not timed; the log tells why")
    return run


def killed_run(signal: int, cells: Iterable[tuple[int, float]]) -> dict[str, Any]:
    """Return the run of a process that was ended by a signal before it wrote anything."""
    reason = f"the process was ended by signal {signal}, as happens where memory runs out"
    return {"cells": [], "missing": _missing(cells, reason), "provenance": None, "conditions": None}


def _missing(cells: Iterable[tuple[int, float]], reason: str) -> list[dict[str, Any]]:
    return [{"batch_size": size, "guidance": scale, "reason": reason} for size, scale in cells]


def _cell(benchmark: Mapping[str, Any]) -> dict[str, Any]:
    stats, extra = benchmark["stats"], benchmark["extra_info"]
    times = {name: stats[short] for name, short in (("median_s", "median"), ("q1_s", "q1"), ("q3_s", "q3"))}
    cell = {**extra, **times, "rounds": stats["rounds"]}
    load = {name: cell[name] for name in MEASURED}
    if not load["median_s"] > 0:
        raise ValueError(f"{load['median_s']} is no time")
    cell["disturbed"] = disturbance(
        load["other_cores"], load["stolen_cores"], load["load_average"], load["threads"]
    )
    return cell


def read_protocol(path: str | Path) -> dict[str, Any]:
    """Read a whole protocol, as the rule measure_protocol wrote it.

    Raises:
        UserError: the file is missing, no JSON, no protocol, or of several devices or commits.
    """
    protocol = read_json(path)
    if not isinstance(protocol, dict) or not {"runs", "settings", "contestants", "twin"} <= set(protocol):
        raise UserError(f"{path} is no protocol of speed; delete it and run snakemake again.")
    check_origin(protocol["runs"], path)
    return protocol


def check_origin(runs: Sequence[Mapping[str, Any]], source: str | Path) -> dict[str, Any]:
    """Return the provenance that all processes share.

    Raises:
        UserError: no process timed anything, or they ran on several devices, at several commits or with
            several numbers of threads: their times are no repetitions of each other.
    """
    origins = [run["provenance"] for run in runs if run["provenance"] is not None]
    if not origins:
        raise UserError(f"{source}: no process timed anything; its log tells why.")
    for key in ("device", "commit", "precision", "threads"):
        found = dict.fromkeys(json.dumps(origin[key]) for origin in origins)
        if len(found) > 1:
            raise UserError(
                f"{source} was measured with more than one {key} ({', '.join(found)}); delete it and run"
                " snakemake again."
            )
    return dict(origins[0])


def cells_of(
    runs: Iterable[Mapping[str, Any]], entrant: str, batch_size: int, guidance: float
) -> dict[int, dict[str, Any]]:
    """Return what an entrant's processes measured of one cell, by round, the disturbed ones included."""
    return {
        run["round"]: cell
        for run in runs
        if run["entrant"] == entrant
        for cell in run["cells"]
        if (cell["batch_size"], cell["guidance"]) == (batch_size, guidance)
    }


def quiet_seconds(cells: Mapping[int, Mapping[str, Any]]) -> dict[int, float]:
    """Return the seconds a call by round, without the processes that were disturbed."""
    return {round_: cell["median_s"] for round_, cell in cells.items() if cell["disturbed"] is None}


def ratio(first: Mapping[int, float], second: Mapping[int, float]) -> Interval | None:
    """Divide the times of two entrants, round by round; None where no round has both."""
    common = sorted(first.keys() & second.keys())
    return interval([first[i] / second[i] for i in common]) if common else None


def twin_ratios(
    runs: Sequence[Mapping[str, Any]], twin: str, batch_sizes: Iterable[int], scales: Iterable[float]
) -> list[Interval | None]:
    """Return the ratios of a contestant to its twin, one a cell; None where the cell is missing."""
    cells = itertools.product(sorted(batch_sizes), scales)
    return [
        ratio(*(quiet_seconds(cells_of(runs, name, *cell)) for name in (twin, twin + TWIN))) for cell in cells
    ]


@dataclass(frozen=True)
class Repeatability:
    """How the same contestant, measured as two, compares with itself.

    Attributes:
        cells: with an interval of the ratio.
        within: of them, those whose interval contains 1.
        largest: largest distance of a ratio from 1, e.g. 0.03 for 1.03 and for 1/1.03.
        holds: whether as many intervals contain 1 as 95% intervals of a ratio of 1 do, up to chance.
    """

    cells: int
    within: int
    largest: float
    holds: bool

    def in_words(self) -> str:
        """Say it in a sentence."""
        return (
            f"ratio 1 lies within {self.within} of {self.cells} intervals, the ratio farthest from 1 is off"
            f" by {self.largest:.1%}: {'repeatable' if self.holds else 'NOT repeatable'}"
        )


def repeatability(ratios: Iterable[Interval | None]) -> Repeatability | None:
    """Judge the ratios of a contestant to its twin, one a cell; None where none has an interval.

    They pass unless so few of the intervals contain 1 that a binomial with probability LEVEL gives as few
    or fewer in less than 1 - LEVEL of all cases. The cells' processes are the same, so that misses tend to
    come together and the rule is strict.
    """
    known = [ratio for ratio in ratios if ratio is not None and ratio.low is not None]
    if not known:
        return None
    from scipy import stats

    within = sum(ratio.contains(1.0) for ratio in known)
    largest = max(math.expm1(abs(math.log(ratio.mean))) for ratio in known)
    holds = bool(stats.binom.cdf(within, len(known), LEVEL) >= 1 - LEVEL)
    return Repeatability(len(known), within, largest, holds)


def needs_work(runs: Iterable[Mapping[str, Any]], entrant: str) -> bool:
    """Say whether an entrant's next process is to weigh what it computes: until an undisturbed one did."""
    if entrant.endswith(TWIN):
        return False
    cells = [cell for run in runs if run["entrant"] == entrant for cell in run["cells"]]
    done = {(c["batch_size"], c["guidance"]) for c in cells if c.get("work") and c["disturbed"] is None}
    return not cells or any((c["batch_size"], c["guidance"]) not in done for c in cells)
