"""Repeated measurements: rounds of independent processes, their intervals, and ratios of two of one round.

A time is the median over calls in a process. What is reported is the geometric mean over processes with
Student's interval on logarithms, and a ratio is of the two processes of one round, since a machine's speed
drifts. What the machine disturbed is kept in the file and left out of every mean. How the rounds are made
stands in `nfbench.measure.protocol`.
"""

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nfbench.errors import UserError
from nfbench.files import read_json

LEVEL = 0.95
TWIN = "#again"  # marks the second of the two that are the same contestant


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
