"""Errors of an inverse, per image, with non-finite images kept apart."""

import math

import torch
from torch import Tensor

from nfbench.data.pixels import to_uint8

# A difference of more grey levels, of 255, in any pixel counts as visible. Work on attacks against
# classifiers holds changes of up to 8 to be hard to see (arXiv:1706.06083, on CIFAR-10).
VISIBLE_LEVELS = 8


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


def visibly_off(images: Tensor, truth: Tensor, levels: int = VISIBLE_LEVELS) -> Tensor:
    """Tell which images differ from the true ones by more than `levels` grey levels in some pixel.

    Both are compared as they are stored and seen, clamped and rounded to 8 bits, so that what an inverse does
    outside [-1, 1] is no error. An MSE hides a few images that went wrong; their share does not.

    Args:
        images: (B, c, H, W), nominally in [-1, 1].
        truth: same shape.

    Returns:
        bool, (B,); true where either image holds a value that is not finite.

    Raises:
        ValueError: the shapes differ.
    """
    if images.shape != truth.shape or images.ndim != 4:
        raise ValueError(f"cannot compare {tuple(images.shape)} with {tuple(truth.shape)} image by image")
    finite = torch.isfinite(images).flatten(1).all(dim=1) & torch.isfinite(truth).flatten(1).all(dim=1)
    shown, true = (to_uint8(x.masked_fill(~finite[:, None, None, None], 0))[0].int() for x in (images, truth))
    return ((shown - true).abs().flatten(1).amax(dim=1) > levels) | ~finite
