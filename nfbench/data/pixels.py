"""Pixels: the one place that knows that models see [-1, 1] and files hold 0..255."""

import numpy as np
import torch
from torch import Tensor


def _as_uint8_tensor(images: Tensor | np.ndarray) -> Tensor:
    if isinstance(images, np.ndarray):
        # torch warns of memory that it may not write.
        images = torch.from_numpy(images if images.flags.writeable else images.copy())
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, not {images.dtype}")
    return images


def to_float(images: Tensor | np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    """Map grey levels to model values, x = 2 v/255 - 1.

    Args:
        images: uint8 of any shape, tensor or array.
        dtype: floating type of the result.

    Returns:
        x in [-1, 1], same shape and device.

    Raises:
        TypeError: the images are not uint8.
    """
    return _as_uint8_tensor(images).to(dtype) / 127.5 - 1.0


def dequantise(images: Tensor | np.ndarray, u: Tensor) -> Tensor:
    """Spread each grey level over its bin, x = 2 (v + u)/256 - 1.

    A bin is 1/128 wide, so a density of x in nats per dimension plus ln 128 is one of grey levels.

    Args:
        images: uint8 of any shape, tensor or array.
        u: uniform in [0, 1), same shape; its dtype and device are the result's.

    Returns:
        x in [-1, 1), same shape.

    Raises:
        TypeError: the images are not uint8.
        ValueError: the shapes differ.
    """
    v = _as_uint8_tensor(images)
    if v.shape != u.shape:
        raise ValueError(f"images {tuple(v.shape)} and noise {tuple(u.shape)} differ in shape")
    return (v.to(u) + u) / 128.0 - 1.0


def to_uint8(x: Tensor) -> tuple[Tensor, Tensor]:
    """Clamp model values to [-1, 1] once and round them to the nearest grey level.

    Args:
        x: images, nominally in [-1, 1], (B, c, H, W), finite.

    Returns:
        images: uint8, (B, c, H, W).
        clipped: number of values of each image outside [-1, 1] before the clamp, int64, (B,).

    Raises:
        ValueError: a value is not finite; the caller counts and removes such images first.
    """
    if not torch.isfinite(x).all():
        raise ValueError("cannot convert non-finite values to 8 bits; count and remove them first")
    x = x.to(torch.promote_types(x.dtype, torch.float32))  # half types cannot tell 256 levels apart
    clipped = (x.abs() > 1.0).flatten(1).sum(dim=1)
    images = ((x.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    return images, clipped


def to_shown(x: Tensor) -> np.ndarray:
    """Return images (B, c, H, W) as uint8 to be looked at: clamped, and black where one is not finite."""
    finite = torch.isfinite(x).flatten(1).all(dim=1)
    return to_uint8(x.masked_fill(~finite[:, None, None, None], -1.0))[0].cpu().numpy()
