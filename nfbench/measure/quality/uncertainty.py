"""Confidence intervals over samples: the spread that another sample set of the same size would show.

The model, its seed and the reference are held fixed. Intervals over seeds are in `nfbench.stats`.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nfbench.stats import LEVEL, Interval, student_interval

if TYPE_CHECKING:  # importing torch-fidelity takes seconds
    from nfbench.measure.quality.distances import Statistics

SEED = 2020  # of splits and resamples, as torch-fidelity's own

# n over the feature dimension from which a distance is extrapolated: halves then have at least twice as many
# images as features.
INFINITY_MULTIPLE = 4


def ends(interval: Interval | None) -> dict[str, float]:
    """Return the columns low and high of a measurement row; none without an interval."""
    return {} if interval is None else {"low": interval.low, "high": interval.high}


@dataclass(frozen=True, eq=False)
class Halves:
    """Frechet distances of halves of one sample set to a reference.

    Attributes:
        distances: of both halves of every split, (n_splits, 2).
        size: images in a half.
        n: images in the whole set.
    """

    distances: np.ndarray
    size: int
    n: int


def halves(features: np.ndarray, reference: "Statistics", *, n_splits: int, seed: int = SEED) -> Halves:
    """Split a sample set at random into two disjoint halves, several times, and measure each half.

    Each distance is that of `frechet`, with the reference's root shared by all halves. A split takes some
    half a second at 1280 features.

    Args:
        features: (n, dim); of an odd n each split leaves one image out.
        n_splits: number of splits.
        seed: of the splits, the same for every sample set.

    Raises:
        ValueError: fewer than four images, no split, or another dimension than the reference's.
    """
    n, dim = features.shape
    if n < 4 or n_splits < 1 or dim != reference.dim:
        raise ValueError(
            f"cannot halve {features.shape} features {n_splits} times for {reference.dim} features"
        )
    distance = _distance_of_parts(features, reference)
    size, rng = n // 2, np.random.default_rng(seed)
    distances = np.empty((n_splits, 2))
    for row in distances:
        order = rng.permutation(n)
        row[:] = distance(order[:size]), distance(order[size : 2 * size])
    return Halves(distances, size, n)


def by_size(
    features: np.ndarray, reference: "Statistics", *, sizes: Iterable[int], seed: int = SEED
) -> dict[int, float]:
    """Return the mean Frechet distance of two disjoint parts of each size, drawn at random.

    It shows how much of a distance is due to the number of samples alone.

    Args:
        features: (n, dim).
        reference: what they are compared with.
        sizes: images in a part, 2 .. n // 2.
        seed: of the draw; smaller parts lie within larger ones.

    Raises:
        ValueError: a size for which there are not two parts.
    """
    n = len(features)
    distance = _distance_of_parts(features, reference)
    order = np.random.default_rng(seed).permutation(n)
    found = {}
    for size in sizes:
        if not 2 <= size <= n // 2:
            raise ValueError(f"there are no two parts of {size} images in {n}")
        found[size] = (distance(order[:size]) + distance(order[-size:])) / 2
    return found


def _distance_of_parts(features: np.ndarray, reference: "Statistics") -> Callable[[np.ndarray], float]:
    """Return the Frechet distance as a function of the rows that are taken; see `halves`."""
    centred = features.astype(np.float64) - reference.mu
    projected = centred @ reference.root
    trace = float(np.trace(reference.sigma))
    return lambda part: _frechet(centred[part], projected[part], trace)


def _frechet(centred: np.ndarray, projected: np.ndarray, reference_trace: float) -> float:
    """Return the distance from features less the reference's mean, and the same times the root R."""
    mean, spread = centred.mean(axis=0), projected - projected.mean(axis=0)
    # Both products have the same eigenvalues but for zeros; the smaller one is quicker.
    product = spread @ spread.T if len(spread) < spread.shape[1] else spread.T @ spread
    common = trace_of_root(product / (len(spread) - 1))
    return float(mean @ mean + centred.var(axis=0, ddof=1).sum() + reference_trace - 2 * common)


def trace_of_root(matrix: np.ndarray) -> float:
    """Return the trace of the root of a symmetric matrix without negative eigenvalues, (dim, dim)."""
    eigenvalues = np.linalg.eigvalsh(matrix)
    return float(np.sqrt(eigenvalues.clip(min=0)).sum())  # rounding makes zeros of a deficient rank negative


def frechet_standard_error(split: Halves) -> float:
    """Return the standard deviation over sample sets of the Frechet distance at the full n.

    The halves of a split are disjoint, so over sample sets their distances are independent, and half the
    mean square of their difference is the variance at n/2, without bias. To first order the distance is a
    mean over images, whose variance falls as 1/n: at n it is half of that, (d_1 - d_2)^2 / 4 on average.
    Drawing one half without replacement gives the same: twice the variance at n, times the correction
    1 - (n/2)/n for a finite population (delete-half jackknife: Shao and Wu, Annals of Statistics 17, 1989;
    subsampling without replacement: Politis and Romano, Annals of Statistics 22, 1994).

    Near the distance of real images the first order vanishes, and the variance of the second falls as 1/n^2:
    the error is then too large, by a factor of at most root two. Resampling with replacement, in contrast,
    repeats images, which adds the bias of a finite n to every replicate a second time: an interval from it
    lies too high.
    """
    first, second = split.distances.T
    return math.sqrt(np.mean((first - second) ** 2) / 2 * split.size / split.n)


def frechet_interval(distance: float, split: Halves, level: float = LEVEL) -> Interval:
    """Return the interval of a Frechet distance about its expected value at the same n.

    That value itself lies above the distance of the distributions, by a bias of order dim^2 / n; see
    `frechet_at_infinity`. Splits are nearly independent, so the error has about one degree of freedom each.
    """
    return student_interval(distance, frechet_standard_error(split), len(split.distances), level)


def can_extrapolate(n: int, dim: int) -> bool:
    """Return whether n images are enough for `frechet_at_infinity`."""
    return n >= INFINITY_MULTIPLE * dim


def frechet_at_infinity(distance: float, split: Halves, level: float = LEVEL) -> tuple[float, Interval]:
    """Extrapolate a Frechet distance to infinitely many samples, as the line in 1/n through n/2 and n.

    The linear model is that of arXiv:1911.07023, section 3. That paper fits a line to fifteen subsets; here
    both halves of a split count, so that the noise of first order cancels in their mean and the value is as
    sharp as the distance at n. What the line misses is of second order in dim/n and no part of the interval:
    on Gaussians of 64 features it left -8% of the bias at n = 4 dim and -2% at n = 16 dim, so that the value
    is then too low. The reference stays finite: its own bias is left in, the same for all compared with it.

    Returns:
        The value, which may be slightly negative, and its interval over samples. The error adds that of the
        distance and that of a finite number of splits.

    Raises:
        ValueError: a single split, whose own error is unknown.
    """
    means = split.distances.mean(axis=1)
    if len(means) < 2:
        raise ValueError("one split has no spread; ask for at least two")
    slope = split.size / (split.n - split.size)  # 1 where n is even
    value = distance - slope * (means.mean() - distance)
    splitting = slope * means.std(ddof=1) / math.sqrt(len(means))
    error = math.hypot(frechet_standard_error(split), splitting)
    return float(value), student_interval(float(value), error, len(means), level)


def subset_interval(
    mean: float, std: float, *, subset_size: int, subsets: int, n: int, level: float = LEVEL
) -> Interval | None:
    """Return the interval over samples of a mean over random subsets drawn without replacement, as KID's.

    The subsets overlap, so resampling them would show the choice of subsets alone. To first order an unbiased
    estimate on s of n images has a variance of sigma^2 / s (1 - s/n) about its value for the whole set, and
    that value one of sigma^2 / n: the subsets' variance times s / (n - s). The mean's own error, a share
    1/subsets of it, is added. KID draws from the reference as well, so that part of its spread is counted in:
    the interval is rather too wide.

    Args:
        mean: over the subsets.
        std: over the subsets, divisor subsets (as torch-fidelity gives it).
        subset_size: images in a subset, under n.
        subsets: number of subsets; one has no spread, and no interval.
        n: images in the sample set.
    """
    if not 0 < subset_size < n:
        raise ValueError(f"subsets of {subset_size} images say nothing about the spread of {n}")
    if subsets < 2:
        return None
    variance = std**2 * subsets / (subsets - 1)
    error = math.sqrt(variance * (1 / subsets + subset_size / (n - subset_size)))
    return student_interval(mean, error, subsets - 1, level)


def bootstrap_mean(
    values: np.ndarray, *, resamples: int = 2000, level: float = LEVEL, seed: int = SEED
) -> Interval:
    """Return the percentile bootstrap's interval of a mean (Efron, 1979), e.g. of label accuracy.

    Args:
        values: one number an image, finite, (n,).
        resamples: sets of n drawn with replacement, which for a mean is sound: it has no bias at a finite n.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"cannot resample values {values.shape}; they must be finite, one an image")
    rng = np.random.default_rng(seed)
    means = np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), float(means.std(ddof=1)), level)
