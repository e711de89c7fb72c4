"""Distances between sets of features, most by torch-fidelity, and the file of the reference features.

"Frechet distance" is the formula behind FID (arXiv:1706.08500); the name FID is kept for Inception
features.
"""

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics
from torch_fidelity.metric_isc import (
    KEY_METRIC_ISC_MEAN,
    KEY_METRIC_ISC_STD,
    isc_features_to_metric,
)
from torch_fidelity.metric_kid import (
    KEY_METRIC_KID_MEAN,
    KEY_METRIC_KID_STD,
    kid_features_to_metric,
)

from nfbench.errors import UserError
from nfbench.files import atomic_path
from nfbench.measure.quality.uncertainty import trace_of_root

NOT_FINITE = "features are not finite; leave the value empty and set a flag"
NEIGHBOURS = 3  # k of precision and recall
ROWS = 2500  # images whose distances from all others are held at once


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

    @cached_property
    def root(self) -> np.ndarray:
        """Symmetric square root of the covariance, (dim, dim)."""
        values, axes = np.linalg.eigh(self.sigma)
        return (axes * np.sqrt(values.clip(min=0))) @ axes.T


@dataclass(frozen=True, eq=False)
class Reference:
    """Features of the fixed real images that samples are compared with.

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
        raise ValueError(NOT_FINITE)
    computed = fid_features_to_statistics(torch.from_numpy(features.astype(np.float64)))
    return Statistics(computed["mu"], np.atleast_2d(computed["sigma"]), len(features))


def frechet(a: Statistics, b: Statistics) -> float:
    """Return |mu_a - mu_b|^2 + tr(sigma_a + sigma_b - 2 (sigma_a sigma_b)^1/2).

    With R the root of sigma_b, the trace of that root is the sum of the roots of the eigenvalues of the
    symmetric R sigma_a R: what torch-fidelity computes, in a third of the time. Rounding may leave a value
    slightly below zero; it is not clamped.

    Args:
        b: the reference, whose root is computed once.

    Raises:
        ValueError: the spaces have different dimensions.
    """
    if a.dim != b.dim:
        raise ValueError(f"statistics of {a.dim} and {b.dim} features are not of one space")
    common = trace_of_root(b.root @ a.sigma @ b.root)
    difference = a.mu - b.mu
    return float(difference @ difference + np.trace(a.sigma) + np.trace(b.sigma) - 2 * common)


def rank_deficient(n: int, dim: int) -> bool:
    """Return whether n images are too few (under 2 dim) for a reliable Frechet distance."""
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
    """Return KID (arXiv:1801.01401): unbiased MMD^2 with the kernel (x.y / dim + 1)^3.

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
        raise ValueError(NOT_FINITE)
    result = kid_features_to_metric(
        torch.from_numpy(features_a),
        torch.from_numpy(features_b),
        kid_subset_size=subset_size,
        kid_subsets=subsets,
        rng_seed=seed,
        verbose=False,
    )
    return result[KEY_METRIC_KID_MEAN], result[KEY_METRIC_KID_STD]


def precision_recall(
    features: np.ndarray, reference: np.ndarray, *, neighbours: int = NEIGHBOURS, seed: int = 2020
) -> tuple[float, float]:
    """Return precision and recall of samples' features (arXiv:1904.06991, eq. 1 and 2), each 0 to 1.

    Precision is the share of samples within the reach of a reference image, its k-th neighbour's distance;
    recall the share of reference images within the reach of a sample. Both depend on both numbers of images,
    so the larger set is thinned at random to the smaller: rows compare at equal n only. The same values as
    torch-fidelity's, in half the time.

    Args:
        features: (n, dim).
        reference: (n_reference, dim).
        neighbours: k, 3 as in the paper.
        seed: of the choice from the larger set.

    Raises:
        ValueError: too few images to have k neighbours, or a value that is not finite.
    """
    n = min(len(features), len(reference))
    if n <= neighbours:
        raise ValueError(f"{n} images have no {neighbours} neighbours each")
    if not (np.isfinite(features).all() and np.isfinite(reference).all()):
        raise ValueError(NOT_FINITE)
    rng = np.random.default_rng(seed)
    pair = [
        part if len(part) == n else part[rng.permutation(len(part))[:n]] for part in (features, reference)
    ]
    samples, real = (torch.from_numpy(part) for part in pair)
    reach, real_reach = (_reach(part, neighbours) for part in (samples, real))
    precise, recalled = 0, torch.zeros(n, dtype=torch.bool)
    for some, of_some in zip(samples.split(ROWS), reach.split(ROWS), strict=True):
        distances = torch.cdist(some, real)
        precise += int((distances <= real_reach).any(dim=1).sum())
        recalled |= (distances <= of_some[:, None]).any(dim=0)
    return precise / n, recalled.double().mean().item()


def _reach(features: torch.Tensor, neighbours: int) -> torch.Tensor:
    """Return the distance of each row's k-th neighbour among the others, (n,)."""
    parts = (torch.cdist(some, features) for some in features.split(ROWS))
    return torch.cat([part.topk(neighbours + 1, largest=False).values[:, -1] for part in parts])


def inception_score(logits: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Return the Inception score (arXiv:1606.03498) of logits (n, 1008): its mean and std over splits.

    Raises:
        ValueError: fewer images than splits, or a value that is not finite.
    """
    if len(logits) < splits or not np.isfinite(logits).all():
        raise ValueError(f"no score of logits {logits.shape}: too few for {splits} splits, or not finite")
    found = isc_features_to_metric(torch.from_numpy(logits), splits=splits)
    return found[KEY_METRIC_ISC_MEAN], found[KEY_METRIC_ISC_STD]


def write_reference(
    path: str | Path,
    features: np.ndarray,
    *,
    space: str,
    data_sha256: str,
    weights_sha256: str,
) -> Reference:
    """Compute the statistics of features (n, dim); write both, with the hashes of their origin, as .npz."""
    stats = statistics(features)
    reference = Reference(stats, features.astype(np.float32), space, data_sha256, weights_sha256)
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            mu=stats.mu,
            sigma=stats.sigma,
            root=stats.root,
            features=reference.features,
            space=space,
            data_sha256=data_sha256,
            weights_sha256=weights_sha256,
        )
    return reference


def read_reference(path: str | Path) -> Reference:
    """Read a file of `write_reference`.

    Raises:
        UserError: it is missing or corrupt.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            features = file["features"]
            stats = Statistics(file["mu"], file["sigma"], len(features))
            vars(stats)["root"] = file["root"]  # fills the cached property
            names = ("space", "data_sha256", "weights_sha256")
            return Reference(stats, features, *(str(file[name]) for name in names))
    except FileNotFoundError:
        raise UserError(f"The reference {path} is missing; run snakemake to make it.") from None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The reference {path} is corrupt ({error}); delete it and run snakemake again."
        ) from None
