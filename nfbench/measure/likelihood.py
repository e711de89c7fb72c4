"""Likelihoods of a flow from its noise and log-determinant.

Both likelihoods take z (B, T, D) and logdet (B,), log|det dz/dx| in nats averaged over T*D, and give one
float64 number per image. The training loss of TARFlow (arXiv:2412.06329) is the mean nll_nats_per_dim
without its constant 1/2 ln 2 pi.
"""

import math
from typing import Any

import torch
from torch import Tensor

from nfbench.measure.quality.uncertainty import ends
from nfbench.measurements import row
from nfbench.stats import mean_interval

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
    """Return the bits per grey level, for x = 2 (v + u)/256 - 1 with u uniform in [0, 1).

    Meant for flows trained with uniform dequantisation; one trained with Gaussian noise cannot pass
    `bits_limit`. Arguments, shape and errors of `nll_nats_per_dim`.
    """
    return (nll_nats_per_dim(z, logdet, prior_variance) + LOG_128) / math.log(2)


def bits_limit(sigma: float) -> float:
    """Return the best bits_per_dim that a flow trained with noise sigma can reach on clean images.

    [1/2 ln(2 pi sigma^2) + ln 128] / ln 2: its density is a convolution with that Gaussian.
    """
    return (HALF_LOG_TWO_PI + math.log(sigma) + LOG_128) / math.log(2)


def likelihood_rows(nll: Tensor, bits: Tensor | None, sigma: float) -> list[dict[str, Any]]:
    """Return the likelihoods of test images beside their limits, with intervals over images.

    Args:
        nll: `nll_nats_per_dim` of every image, (N,).
        bits: `bits_per_dim` of every image, (N,); None where it was not asked for.
        sigma: training noise.
    """
    rows = [_mean_row("nll_nats_per_dim", nll), row("nll_limit", noise_floor(sigma))]
    if bits is None:
        return rows
    return [*rows, _mean_row("bits_per_dim", bits), row("bits_limit", bits_limit(sigma))]


def _mean_row(name: str, per_image: Tensor) -> dict[str, Any]:
    mean, n = per_image.mean().item(), len(per_image)
    if not math.isfinite(mean):
        return row(name, None, n=n, flag="non_finite")
    return row(name, mean, n=n, **ends(mean_interval(per_image.double().numpy())))
