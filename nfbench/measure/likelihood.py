"""Likelihoods of a flow from its noise and log-determinant.

Both reports take z (B, T, D) and logdet (B,), log|det dz/dx| in nats averaged over T*D, and give
one number per image in float64. The training loss of TARFlow (arXiv:2412.06329)
is the mean nll_nats_per_dim without its constant 1/2 ln 2 pi.
"""

import math
from typing import Any

import torch
from torch import Tensor

from nfbench.files import finite_or_none

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
LOG_128 = math.log(128)


def nll_nats_per_dim(z: Tensor, logdet: Tensor, prior_variance: Tensor | None = None) -> Tensor:
    """Return mean(1/2 (z^2 + ln 2 pi)) - logdet of every image, nats per dimension.

    Args:
        z: noise, (B, T, D).
        logdet: log|det dz/dx| averaged over T*D, nats, (B,).
        prior_variance: variance of the prior, (T, D), for a volume-preserving flow; 1 by default.

    Returns:
        float64, (B,); not finite where z or logdet is not.

    Raises:
        ValueError: logdet is not one number per image.
    """
    if logdet.shape != z.shape[:1]:
        raise ValueError(f"logdet must be ({len(z)},), not {tuple(logdet.shape)}")
    energy = 0.5 * z.double() ** 2
    if prior_variance is not None:
        variance = prior_variance.double()
        energy = energy / variance + 0.5 * torch.log(variance)
    return energy.flatten(1).mean(dim=1) + HALF_LOG_TWO_PI - logdet.double()


def noise_floor(sigma: float) -> float:
    """Return 1/2 ln(2 pi e sigma^2), nats per dimension.

    No density has a lower expected nll_nats_per_dim on images with Gaussian noise of standard
    deviation sigma > 0 (in [-1, 1] pixel units).
    """
    return HALF_LOG_TWO_PI + 0.5 + math.log(sigma)


def bits_per_dim(z: Tensor, logdet: Tensor, prior_variance: Tensor | None = None) -> Tensor:
    """Return the bits that a grey level costs, for x = 2 (v + u)/256 - 1 with u uniform in [0, 1).

    Meant for flows trained with uniform dequantisation; for one trained with Gaussian noise print
    `bits_limit` beside it. Arguments, shape and errors of `nll_nats_per_dim`.
    """
    return (nll_nats_per_dim(z, logdet, prior_variance) + LOG_128) / math.log(2)


def bits_limit(sigma: float) -> float:
    """Return the best bits_per_dim that a flow trained with noise sigma can reach on clean images.

    [1/2 ln(2 pi sigma^2) + ln 128] / ln 2: its density is a convolution with that Gaussian.
    """
    return (HALF_LOG_TWO_PI + math.log(sigma) + LOG_128) / math.log(2)


def over_draws(per_image: Tensor) -> dict[str, Any]:
    """Summarise a likelihood that was taken several times, with other noise on the same images.

    The two errors answer different questions and are not added. Over images: what another test set would
    change, the noise left in each image's mean included. Over draws: what other noise on these images would.

    Args:
        per_image: one row a draw, (draws, N).

    Returns:
        mean, standard_error_images, standard_error_draws, draws and n, JSON-able; None where a value is not
        finite or one draw, or one image, has no spread.
    """
    draws, n = per_image.shape
    images, means = per_image.double().mean(dim=0), per_image.double().mean(dim=1)
    return {
        "mean": finite_or_none(images.mean().item()),
        "standard_error_images": _standard_error(images),
        "standard_error_draws": _standard_error(means),
        "draws": draws,
        "n": n,
    }


def _standard_error(values: Tensor) -> float | None:
    if len(values) < 2:
        return None
    return finite_or_none((values.std() / math.sqrt(len(values))).item())
