"""How loose a threshold may be before its samples are told from the exact inverse's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student


@dataclass(frozen=True)
class Trial:
    """One threshold against the exact inverse of the same noise.

    Attributes:
        tau: the threshold.
        distances: Frechet distance of its samples at each validation seed.
        change: mean over seeds of that less the exact inverse's.
    """

    tau: float
    distances: list[float]
    change: float


@dataclass(frozen=True)
class Tuning:
    """The largest harmless threshold, and how it was found.

    Attributes:
        exact: Frechet distance of the exact inverse's samples at each validation seed.
        half_width: of the 95% interval of their mean.
        trials: from the largest tau down to the chosen one.
        tau: the chosen one; None where none of those given was harmless.
    """

    exact: list[float]
    half_width: float
    trials: list[Trial]
    tau: float | None


def half_width(values: Sequence[float], level: float = 0.95) -> float:
    """Return half the width of Student's interval of the mean.

    Raises:
        ValueError: fewer than two values.
    """
    if len(values) < 2:
        raise ValueError("an interval needs at least two values")
    spread = np.std(values, ddof=1) / np.sqrt(len(values))
    return float(student.ppf(0.5 + level / 2, len(values) - 1) * spread)


def tune(
    taus: Sequence[float], exact: Sequence[float], distances: Callable[[float], Sequence[float]]
) -> Tuning:
    """Find the largest tau that changes the Frechet distance by less than its interval.

    Args:
        taus: to try, in any order; none smaller than the first harmless one is tried.
        exact: Frechet distance of the exact inverse at each validation seed.
        distances: the same of the sampler at a threshold, from the same noise; seed by seed.
    """
    limit, trials = half_width(exact), []
    for tau in sorted(taus, reverse=True):
        found = [float(value) for value in distances(tau)]
        change = float(np.mean(np.subtract(found, exact)))
        trials.append(Trial(tau, found, change))
        if abs(change) < limit:
            return Tuning(list(exact), limit, trials, tau)
    return Tuning(list(exact), limit, trials, None)
