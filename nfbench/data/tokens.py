"""Images and tokens, non-overlapping patches in raster order (arXiv:2412.06329), and masks of pixels."""

from math import isqrt

import torch
from torch import Tensor


def images_to_tokens(x: Tensor, patch_size: int) -> Tensor:
    """Cut square images into tokens.

    Tokens follow each other in raster order; inside a token the order is (channel, row, column),
    channel slowest.

    Args:
        x: images, (B, c, H, H), any dtype.
        patch_size: side P of a patch, pixels.

    Returns:
        Tokens (B, T, D) with T = (H/P)^2 and D = c P^2.

    Raises:
        ValueError: the images are not square or P does not divide H.
    """
    batch, channels, height, width = x.shape
    if height != width:
        raise ValueError(f"images must be square, not {height}x{width}")
    if patch_size < 1 or height % patch_size:
        raise ValueError(f"patch size {patch_size} does not divide image size {height}")
    side = height // patch_size
    x = x.reshape(batch, channels, side, patch_size, side, patch_size)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(batch, side * side, channels * patch_size**2)


def tokens_to_images(tokens: Tensor, patch_size: int, channels: int) -> Tensor:
    """Put tokens back together; the exact inverse of `images_to_tokens`.

    Args:
        tokens: (B, T, D), T a square number, D = channels P^2.
        patch_size: side P of a patch, pixels.
        channels: channels c of the image.

    Returns:
        Images (B, c, H, H) with H = P sqrt(T).

    Raises:
        ValueError: T is not a square number or D is not channels P^2.
    """
    batch, n_tokens, dim = tokens.shape
    side = isqrt(n_tokens)
    if side * side != n_tokens:
        raise ValueError(f"{n_tokens} tokens do not fill a square image")
    if dim != channels * patch_size**2:
        raise ValueError(f"tokens of {dim} values are not {channels} x {patch_size} x {patch_size} patches")
    x = tokens.reshape(batch, side, side, channels, patch_size, patch_size)
    image_size = side * patch_size
    return x.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, image_size, image_size)


def centre_square(image_size: int) -> Tensor:
    """Hide a centred square of half the image's side (a pixel more where that is odd), (H, W)."""
    hidden = torch.zeros(image_size, image_size, dtype=torch.bool)
    inside = slice(image_size // 4, image_size - image_size // 4)
    hidden[inside, inside] = True
    return hidden


def right_half(image_size: int) -> Tensor:
    """Hide the right half (a column more where the side is odd), (H, W)."""
    hidden = torch.zeros(image_size, image_size, dtype=torch.bool)
    hidden[:, image_size // 2 :] = True
    return hidden


def half_of_tokens(priority: Tensor, patch_size: int) -> Tensor:
    """Hide half of every image's tokens, those of lowest priority (one fewer of an odd number).

    Args:
        priority: one number a token, (B, T); e.g. uniform noise, for tokens at random.
        patch_size: side of a token, pixels.

    Returns:
        (B, 1, H, W).
    """
    rank = priority.argsort(dim=1, stable=True).argsort(dim=1)
    hidden = rank < priority.shape[1] // 2
    return tokens_to_images(hidden[:, :, None].expand(-1, -1, patch_size**2), patch_size, channels=1)
