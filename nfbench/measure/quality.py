"""Distances between sets of features, through torch-fidelity, and the reference's own file.

"Frechet distance" is the formula behind FID (arXiv:1706.08500); the name FID is kept for Inception
features.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_fidelity.metric_fid import (
    KEY_METRIC_FID,
    fid_features_to_statistics,
    fid_statistics_to_metric,
)
from torch_fidelity.metric_kid import (
    KEY_METRIC_KID_MEAN,
    KEY_METRIC_KID_STD,
    kid_features_to_metric,
)

from nfbench.errors import UserError
from nfbench.files import atomic_path


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and covariance of a set of features.

    Attributes:
        mu: mean, float64, (dim,).
        sigma: covariance with divisor n - 1, float64, (dim, dim).
        n: number of images behind them.
    """

    mu: np.ndarray
    sigma: np.ndarray
    n: int

    @property
    def dim(self) -> int:
        """Number of features."""
        return len(self.mu)


@dataclass(frozen=True, eq=False)
class Reference:
    """The fixed set that samples are compared with.

    Attributes:
        statistics: of the features.
        features: float32, (n, dim), for KID.
        space: the feature space's name.
        data_sha256: of the images.
        weights_sha256: of the network that made the features.
    """

    statistics: Statistics
    features: np.ndarray
    space: str
    data_sha256: str
    weights_sha256: str


def statistics(features: np.ndarray) -> Statistics:
    """Compute the mean and covariance of features (n, dim), in float64.

    Raises:
        ValueError: fewer than two rows, or a value that is not finite.
    """
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features must be (n >= 2, dim), not {features.shape}")
    if not np.isfinite(features).all():
        raise ValueError("features are not finite; leave the cell empty and give the reason")
    computed = fid_features_to_statistics(torch.from_numpy(features.astype(np.float64)))
    return Statistics(computed["mu"], np.atleast_2d(computed["sigma"]), len(features))


def frechet(a: Statistics, b: Statistics) -> float:
    """Return |mu_a - mu_b|^2 + tr(sigma_a + sigma_b - 2 (sigma_a sigma_b)^1/2).

    Rounding may leave a value slightly below zero; it is not clamped. Seconds at 1280 features.

    Raises:
        ValueError: the spaces have different dimensions.
    """
    if a.dim != b.dim:
        raise ValueError(f"statistics of {a.dim} and {b.dim} features are not of one space")
    pair = ({"mu": s.mu, "sigma": s.sigma} for s in (a, b))
    return fid_statistics_to_metric(*pair, verbose=False)[KEY_METRIC_FID]


def rank_deficient(n: int, dim: int) -> bool:
    """Say whether n images are too few (under 2 dim) for a verdict from a Frechet distance."""
    return n < 2 * dim


def kid_subset_size(n: int) -> int:
    """Return the number of images in each of KID's subsets, for n samples: min(1000, n / 2)."""
    return min(1000, n // 2)


def kid(
    features_a: np.ndarray,
    features_b: np.ndarray,
    *,
    subset_size: int,
    subsets: int = 100,
    seed: int = 2020,
) -> tuple[float, float]:
    """Return the kernel distance (arXiv:1801.01401): unbiased MMD^2, kernel (x.y / dim + 1)^3.

    Args:
        features_a: (n_a, dim).
        features_b: (n_b, dim).
        subset_size: images drawn from either set for one estimate; see `kid_subset_size`.
        subsets: number of estimates; about 0.1 s each at size 1000 and 1280 features.
        seed: of the subsets, 0 <= seed < 2^32; torch-fidelity's own default is 2020.

    Returns:
        Mean and standard deviation over the subsets; the mean may be slightly negative.

    Raises:
        ValueError: a set is smaller than a subset, or a value is not finite.
    """
    if not 2 <= subset_size <= min(len(features_a), len(features_b)):
        raise ValueError(
            f"subset_size {subset_size} does not fit sets of {len(features_a)}, {len(features_b)}"
        )
    if not (np.isfinite(features_a).all() and np.isfinite(features_b).all()):
        raise ValueError("features are not finite; leave the cell empty and give the reason")
    result = kid_features_to_metric(
        torch.from_numpy(features_a),
        torch.from_numpy(features_b),
        kid_subset_size=subset_size,
        kid_subsets=subsets,
        rng_seed=seed,
        verbose=False,
    )
    return result[KEY_METRIC_KID_MEAN], result[KEY_METRIC_KID_STD]


def write_reference(
    path: str | Path,
    features: np.ndarray,
    *,
    space: str,
    data_sha256: str,
    weights_sha256: str,
) -> Reference:
    """Compute the statistics of features (n, dim) and write both, with what they come from."""
    stats = statistics(features)
    reference = Reference(stats, features.astype(np.float32), space, data_sha256, weights_sha256)
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            mu=stats.mu,
            sigma=stats.sigma,
            features=reference.features,
            space=space,
            data_sha256=data_sha256,
            weights_sha256=weights_sha256,
        )
    return reference


def read_reference(path: str | Path, *, expect_weights_sha256: str | None = None) -> Reference:
    """Read what `write_reference` wrote.

    Args:
        path: an .npz file.
        expect_weights_sha256: the weights that the samples' features come from, if to be checked.

    Raises:
        UserError: the file is missing or corrupt, or its features come from other weights.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            features = file["features"]
            stats = Statistics(file["mu"], file["sigma"], len(features))
            names = ("space", "data_sha256", "weights_sha256")
            reference = Reference(stats, features, *(str(file[name]) for name in names))
    except FileNotFoundError:
        raise UserError(f"The reference {path} is missing; run snakemake to make it.") from None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The reference {path} is corrupt ({error}); delete it and run snakemake again."
        ) from None
    if expect_weights_sha256 not in (None, reference.weights_sha256):
        raise UserError(
            f"The reference {path} was made with other weights of the feature space"
            f" '{reference.space}' than the samples; delete it and run snakemake again."
        )
    return reference


def compare(features: np.ndarray, reference: Reference, *, kid_subsets: int = 50) -> dict[str, Any]:
    """Return the Frechet and kernel distances of samples' features (n, dim) to the reference.

    The dictionary is JSON-able and holds what the numbers depend on: both n, the feature dimension,
    KID's subset size, the hashes of the reference's images and of the network's weights.
    """
    n, dim = features.shape
    subset_size = min(kid_subset_size(n), len(reference.features))
    kid_mean, kid_std = kid(features, reference.features, subset_size=subset_size, subsets=kid_subsets)
    return {
        "frechet": frechet(statistics(features), reference.statistics),
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
    }
