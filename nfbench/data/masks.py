"""Which pixels of an image are hidden: bool masks, True where hidden, for inpainting."""

import torch
from torch import Tensor

from nfbench.data.tokens import tokens_to_images


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
