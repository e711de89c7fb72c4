"""Errors of an inverse, per image, with non-finite images kept apart."""

import math

import torch
from torch import Tensor


def mse_per_image(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared difference of every pair of images, in [-1, 1] units squared.

    Args:
        a: (B, ...), on any device and of any floating type.
        b: same shape.

    Returns:
        float64, (B,), NaN where either image holds a value that is not finite; `finite_mean`
        counts those.

    Raises:
        ValueError: the shapes differ, or there is nothing to average over.
    """
    if a.shape != b.shape or a.ndim < 2:
        raise ValueError(f"cannot compare {tuple(a.shape)} with {tuple(b.shape)} image by image")
    squares = (a.double() - b.double()).flatten(1).square()
    finite = squares.isfinite().all(dim=1)
    return torch.where(finite, squares.mean(dim=1), torch.nan)


def rms_per_image(a: Tensor, b: Tensor) -> Tensor:
    """Return the root of `mse_per_image`, e.g. the residual of F(x^) against z, per dimension."""
    return mse_per_image(a, b).sqrt()


def finite_mean(per_image: Tensor) -> tuple[float, int]:
    """Average the images whose value is finite, and count the others.

    Args:
        per_image: (B,).

    Returns:
        The mean over the finite values (NaN where there is none) and the number of the others.
    """
    finite = per_image[per_image.isfinite()]
    mean = finite.mean().item() if len(finite) else math.nan
    return mean, len(per_image) - len(finite)
