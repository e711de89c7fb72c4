"""Paired comparisons over seeds, and the rule by which a published order is said to hold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """Differences between two contestants at the same seeds.

    Attributes:
        mean: of the differences; positive where the first is larger.
        std: of the differences, divisor n - 1; None for fewer than two seeds.
        p: two-sided, of a paired t-test; None for fewer than two seeds.
        seeds: number of pairs.
    """

    mean: float
    std: float | None
    p: float | None
    seeds: int


def compare(first: Sequence[float | None], second: Sequence[float | None]) -> Comparison | None:
    """Compare two contestants, one value a seed; None where a value is missing.

    Seeds pair up: at one seed all reverse models learn from the same flow, and all samplers draw from the
    same noise and labels.

    Raises:
        ValueError: the numbers of seeds differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} seeds do not pair up")
    if not first or any(value is None for value in (*first, *second)):
        return None
    differences = np.subtract(first, second).astype(float)
    mean, n = float(differences.mean()), len(differences)
    if n < 2:
        return Comparison(mean, None, None, n)
    std = float(differences.std(ddof=1))
    if std == 0:  # the statistic has no value: the difference is certain, or there is none
        return Comparison(mean, std, 0.0 if mean else 1.0, n)
    return Comparison(mean, std, float(stats.ttest_rel(first, second).pvalue), n)


def verdict(comparison: Comparison | None, published: float | None = None, objection: str = "") -> str:
    """Say in words what a comparison of two distances (less is better) comes to.

    "holds" and "does not hold": the difference is significant at the 5% level, two-sided, and has or has
    not the sign of the published one. Without a published difference "lower" or "higher". Else "not
    resolved", which more seeds may change. No correction is made for the number of comparisons.

    Args:
        comparison: of `compare`, None where something is missing.
        published: the difference that was published, first minus second.
        objection: why the measure cannot judge this pair; then nothing else is said.
    """
    if objection:
        return objection
    if comparison is None:
        return "not measured"
    if comparison.p is None or comparison.p >= LEVEL:
        return "not resolved"
    if not published:
        return "lower" if comparison.mean < 0 else "higher"
    return "holds" if (comparison.mean < 0) == (published < 0) else "does not hold"
