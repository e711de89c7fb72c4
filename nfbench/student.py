"""Intervals of estimates whose spread is known from a few numbers only: Student's t."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import stdtrit  # scipy.stats would cost every job a second or two

LEVEL = 0.95  # of every interval that the benchmark prints


@dataclass(frozen=True)
class Interval:
    """An estimate's interval.

    Attributes:
        low: lower end.
        high: upper end.
        standard_error: of the estimate; intervals of skewed estimates are not symmetric about them.
        level: nominal share of repetitions of the experiment whose interval holds the expected value.
    """

    low: float
    high: float
    standard_error: float
    level: float = LEVEL


def as_json(interval: Interval | None) -> dict[str, float] | None:
    """Return an interval as a dictionary, None where there is none."""
    return None if interval is None else asdict(interval)


def student(centre: float, standard_error: float, degrees: float, level: float = LEVEL) -> Interval:
    """Return centre +- t standard errors, t the quantile of Student's distribution.

    Args:
        degrees: of freedom of the standard error, above 0.

    Raises:
        ValueError: a number is not finite, or no degree of freedom is left.
    """
    if not (math.isfinite(centre) and math.isfinite(standard_error)) or degrees <= 0:
        raise ValueError(f"no interval about {centre} with error {standard_error} on {degrees} degrees")
    reach = float(stdtrit(degrees, (1 + level) / 2)) * standard_error
    return Interval(centre - reach, centre + reach, standard_error, level)


def over_seeds(values: Sequence[float | None], level: float = LEVEL) -> Interval | None:
    """Return the interval of the mean over seeds, each one value; None for fewer than two or a missing one.

    It holds what a new training and a new sample set would change, all that depends on the seed; an interval
    over the samples of given models is narrower, and another thing.
    """
    if len(values) < 2 or any(value is None for value in values):
        return None
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return student(float(np.mean(values)), error, len(values) - 1, level)
