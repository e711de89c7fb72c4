"""The largest tolerance of an iterative inverse whose samples differ from the exact ones by chance alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nfbench.stats import mean_interval


@dataclass(frozen=True)
class Trial:
    """One tolerance against the exact inverse of the same noise.

    Attributes:
        tolerance: what was tried.
        distances: Frechet distance of its samples at each seed of the noise.
        change: mean over seeds of that minus the exact inverse's.
    """

    tolerance: float
    distances: list[float]
    change: float


@dataclass(frozen=True)
class Tuning:
    """The largest harmless tolerance, and how it was found.

    Attributes:
        exact: Frechet distance of the exact inverse's samples at each seed of the noise.
        half_width: of the 95% interval of their mean.
        trials: from the largest tolerance down to the chosen one.
        tolerance: the chosen one; None where none of those given was harmless.
    """

    exact: list[float]
    half_width: float
    trials: list[Trial]
    tolerance: float | None


def half_width(values: Sequence[float]) -> float:
    """Return half the width of the t-interval of the mean.

    Raises:
        ValueError: fewer than two values.
    """
    interval = mean_interval(values)
    if interval is None:
        raise ValueError("an interval needs at least two values")
    return (interval.high - interval.low) / 2


def tune(
    tolerances: Sequence[float], exact: Sequence[float], distances: Callable[[float], Sequence[float]]
) -> Tuning:
    """Find the largest tolerance that changes the Frechet distance by less than its interval.

    Args:
        tolerances: to try, in any order; none below the first harmless one is tried.
        exact: Frechet distance of the exact inverse at each seed of the noise.
        distances: the same of the sampler at a tolerance, from the same noise, seed by seed.
    """
    limit, trials = half_width(exact), []
    for tolerance in sorted(tolerances, reverse=True):
        found = [float(value) for value in distances(tolerance)]
        change = float(np.mean(np.subtract(found, exact)))
        trials.append(Trial(tolerance, found, change))
        if abs(change) < limit:
            return Tuning(list(exact), limit, trials, tolerance)
    return Tuning(list(exact), limit, trials, None)
