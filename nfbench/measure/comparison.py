"""All that is said of one sample set against the reference in one feature space, with its intervals."""

from typing import Any

import numpy as np

from nfbench.measure.intervals import (
    INFINITY_MULTIPLE,
    Halves,
    by_size,
    can_extrapolate,
    frechet_at_infinity,
    frechet_interval,
    halves,
    subset_interval,
)
from nfbench.measure.quality import (
    NEIGHBOURS,
    Reference,
    frechet,
    inception_score,
    kid,
    kid_subset_size,
    precision_recall,
    rank_deficient,
    statistics,
)
from nfbench.student import as_json

# What n is divided by for smaller parts, beside its half: much smaller ones would leave the covariance of
# 1280 features without most of its rank.
PARTS = (8, 4)


def compare(
    features: np.ndarray,
    reference: Reference,
    logits: np.ndarray | None = None,
    *,
    kid_subsets: int = 50,
    half_pairs: int = 10,
) -> dict[str, Any]:
    """Return the distances of samples' features to the reference, and what they are worth.

    The dictionary is JSON-able and holds what the numbers depend on: both n, the feature dimension,
    KID's subset size, the hashes of the reference's images and of the network's weights. Every interval is
    one over samples, in the section of that name; one over seeds takes several sample sets.

    Args:
        features: of the samples, (n, dim).
        reference: what they are compared with.
        logits: of the samples, (n, classes), in a space that has an Inception score.
        kid_subsets: random subsets that the kernel distance averages over.
        half_pairs: splits into halves behind the intervals of the Frechet distance; see `halves`.
    """
    n, dim = features.shape
    subset_size = min(kid_subset_size(n), len(reference.features))
    distance = frechet(statistics(features), reference.statistics)
    kid_mean, kid_std = kid(features, reference.features, subset_size=subset_size, subsets=kid_subsets)
    precision, recall = precision_recall(features, reference.features)
    split = halves(features, reference.statistics, pairs=half_pairs)
    kid_range = subset_interval(kid_mean, kid_std, subset_size=subset_size, subsets=kid_subsets, n=n)
    return {
        "frechet": distance,
        "kid": kid_mean,
        "kid_std_over_subsets": kid_std,
        "kid_subset_size": subset_size,
        "kid_subsets": kid_subsets,
        "n": n,
        "n_reference": reference.statistics.n,
        "dim": dim,
        "rank_deficient": rank_deficient(min(n, reference.statistics.n), dim),
        "reference_sha256": reference.data_sha256,
        "weights_sha256": reference.weights_sha256,
        "precision": precision,
        "recall": recall,
        "precision_recall_n": min(n, reference.statistics.n),
        "precision_recall_neighbours": NEIGHBOURS,
        **_inception_score(logits),
        **_at_infinity(distance, split, dim),
        "frechet_by_size": _by_size(features, reference, distance, split),
        "half_pairs": half_pairs,
        "over_samples": {
            "frechet": as_json(frechet_interval(distance, split)),
            "kid": as_json(kid_range),
        },
    }


def _inception_score(logits: np.ndarray | None) -> dict[str, float]:
    if logits is None:
        return {}
    mean, std = inception_score(logits)
    return {"inception_score": mean, "inception_score_std_over_splits": std}


def _by_size(
    features: np.ndarray, reference: Reference, distance: float, split: Halves
) -> list[dict[str, float]]:
    """Return the distance at n and at parts of it, smallest first."""
    sizes = [split.n // part for part in PARTS if split.n // part > 1]
    found = by_size(features, reference.statistics, sizes=sizes)
    found |= {split.size: float(split.distances.mean()), split.n: distance}
    return [{"n": size, "frechet": value} for size, value in found.items()]


def _at_infinity(distance: float, split: Halves, dim: int) -> dict[str, Any]:
    """Return the distance at infinite n, or why there is none."""
    if can_extrapolate(split.n, dim):
        value, interval = frechet_at_infinity(distance, split)
        found = {"value": value, **as_json(interval), "reason": None}
    else:
        reason = f"n = {split.n} is under {INFINITY_MULTIPLE} times the {dim} features"
        found = {"value": None, "reason": reason}
    return {"frechet_at_infinity": found}
