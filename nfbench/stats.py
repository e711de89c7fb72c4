"""Statistics of few repetitions: t-intervals, paired comparisons and geometric means.

Repetitions are seeds (a new training and a new sample set each) or processes of a timing. scipy is imported
where it is used, since many jobs only need the classes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95  # of every interval
ROUNDING = 1e-9  # relative, of times that differ only by how they were added up


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: lower end.
        high: upper end.
        standard_error: of the estimate; intervals of skewed estimates are not symmetric about them.
        level: nominal coverage.
    """

    low: float
    high: float
    standard_error: float
    level: float = LEVEL


def t_quantile(degrees: float, level: float = LEVEL) -> float:
    """Return the two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))


def student_interval(centre: float, standard_error: float, degrees: float, level: float = LEVEL) -> Interval:
    """Return centre +- t standard errors.

    Args:
        degrees: of freedom of the standard error, above 0.

    Raises:
        ValueError: a number is not finite, or no degree of freedom is left.
    """
    if not (math.isfinite(centre) and math.isfinite(standard_error)) or degrees <= 0:
        raise ValueError(f"no interval about {centre} with error {standard_error} on {degrees} degrees")
    reach = t_quantile(degrees, level) * standard_error
    return Interval(centre - reach, centre + reach, standard_error, level)


def mean_interval(values: Sequence[float | None], level: float = LEVEL) -> Interval | None:
    """Return the t-interval of a mean, e.g. over seeds; None for fewer than two values or a missing one."""
    if len(values) < 2 or any(value is None for value in values):
        return None
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return student_interval(float(np.mean(values)), error, len(values) - 1, level)


def std_of_interval(low: float, high: float, n: int, level: float = LEVEL) -> float | None:
    """Return the standard deviation (divisor n - 1) of n values whose mean has this t-interval."""
    if n < 2 or not math.isfinite(high - low):
        return None
    return (high - low) / 2 * math.sqrt(n) / t_quantile(n - 1, level)


@dataclass(frozen=True)
class Comparison:
    """Paired differences, first minus second.

    Attributes:
        mean: of the differences; positive where the first is larger.
        std: of the differences, divisor n - 1; None for fewer than two pairs.
        p: two-sided, of a paired t-test; None for fewer than two pairs.
        n: number of pairs.
    """

    mean: float
    std: float | None
    p: float | None
    n: int

    @property
    def interval(self) -> Interval | None:
        """The t-interval of the mean difference; it excludes 0 exactly where p < 1 - LEVEL."""
        if self.std is None:
            return None
        return student_interval(self.mean, self.std / math.sqrt(self.n), self.n - 1)


def paired(first: Sequence[float | None], second: Sequence[float | None]) -> Comparison | None:
    """Compare values that pair up, e.g. by seed; None where one is missing.

    Raises:
        ValueError: the numbers of values differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values do not pair up")
    if not first or any(value is None for value in (*first, *second)):
        return None
    differences = np.subtract(first, second).astype(float)
    std = float(differences.std(ddof=1)) if len(differences) > 1 else None
    return comparison(float(differences.mean()), std, len(differences))


def comparison(mean: float, std: float | None, n: int) -> Comparison:
    """Return the comparison whose n paired differences have this mean and standard deviation."""
    if n < 2 or std is None:
        return Comparison(mean, None, None, n)
    if std == 0:  # the statistic has no value: the difference is certain, or there is none
        return Comparison(mean, std, 0.0 if mean else 1.0, n)
    from scipy.special import stdtr

    return Comparison(mean, std, float(2 * stdtr(n - 1, -abs(mean / (std / math.sqrt(n))))), n)


@dataclass(frozen=True)
class GeometricMean:
    """A geometric mean of positive values and its 95% interval; None bounds for a single value."""

    mean: float
    low: float | None
    high: float | None
    n: int


def geometric_mean(values: Sequence[float]) -> GeometricMean:
    """Return the geometric mean of values and its t-interval, taken on their logarithms.

    Raises:
        ValueError: there is no value, or one is not positive.
    """
    if not len(values) or min(values) <= 0:
        raise ValueError(f"no geometric mean of {list(values)}")
    logs, n = [math.log(value) for value in values], len(values)
    mean = math.fsum(logs) / n
    if n == 1:
        return GeometricMean(math.exp(mean), None, None, 1)
    deviation = math.sqrt(math.fsum((log - mean) ** 2 for log in logs) / (n - 1))
    half = t_quantile(n - 1) * deviation / math.sqrt(n)
    return GeometricMean(math.exp(mean), math.exp(mean - half), math.exp(mean + half), n)


def ratio_of_pairs(first: Mapping[int, float], second: Mapping[int, float]) -> GeometricMean | None:
    """Return the geometric mean of first over second, repetition by repetition; None without a pair.

    Pairs are processes that ran one after the other: the speed of a machine drifts, a ratio less so.
    """
    common = sorted(first.keys() & second.keys())
    return geometric_mean([first[i] / second[i] for i in common]) if common else None


def between(asked: ArrayLike, known: ArrayLike, values: ArrayLike) -> np.ndarray:
    """Interpolate a power law: linearly in logarithms, as losses fall with training time.

    Args:
        asked: times, above 0, of any shape.
        known: times of the measurements, above 0, in any order.
        values: what was measured then, above 0.

    Returns:
        As many values as were asked for; NaN before the first and beyond the last measurement.
    """
    times, measured = (np.log(np.asarray(numbers, dtype=float)) for numbers in (known, values))
    order = np.argsort(times)
    wanted = np.log(np.asarray(asked, dtype=float))
    inside = (wanted >= times[order[0]] - ROUNDING) & (wanted <= times[order[-1]] + ROUNDING)
    return np.where(inside, np.exp(np.interp(wanted, times[order], measured[order])), np.nan)
