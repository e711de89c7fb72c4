"""Noise and labels of image i, from (seed, stream, i) alone.

Philox is counter-based: key (seed, stream) and counter (0, 0, 0, i) start a block of 2^194 words
that no other image touches. Drawn by numpy on the CPU in float64, so the values are the same bit
for bit on every device, in every batch and in any order; callers cast and move them.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

# Numbers are part of every stored result: add new ones at the end, never renumber.
STREAMS = {
    "latent": 0,  # z that samplers start from
    "forward-noise": 1,  # sigma eps added to held-out images before the forward flow
    "dequantisation": 2,  # u of uniform dequantisation
    "floor-noise": 3,  # sigma eps added to real images for the noisy floor
    "hidden-pixels": 4,  # what stands in place of hidden pixels before the forward flow, in inpainting
    "hidden-tokens": 5,  # which tokens are hidden
}


def latent_noise(
    seed: int, indices: Iterable[int] | Tensor, shape: Sequence[int], stream: str = "latent"
) -> Tensor:
    """Draw standard normal noise for the named images.

    Args:
        seed: 0 <= seed < 2^64.
        indices: image numbers, >= 0, in any order.
        shape: shape of one image's noise, for example (T, D).
        stream: a key of STREAMS; streams are independent of each other.

    Returns:
        float64 on the CPU, (len(indices), *shape).

    Raises:
        ValueError: unknown stream, or a seed or index out of range.
    """
    return _draw(seed, indices, shape, stream, lambda rng, out: rng.standard_normal(out=out))


def uniform_noise(
    seed: int, indices: Iterable[int] | Tensor, shape: Sequence[int], stream: str = "dequantisation"
) -> Tensor:
    """Draw noise uniform in [0, 1) for the named images; arguments and errors of `latent_noise`."""
    return _draw(seed, indices, shape, stream, lambda rng, out: rng.random(out=out))


def balanced_labels(indices: Iterable[int] | Tensor, n_classes: int) -> Tensor:
    """Give image i the class i mod n_classes, so that any full turn is balanced.

    Returns:
        Class ids, int64, (len(indices),).

    Raises:
        ValueError: an index is negative or there are no classes.
    """
    if n_classes < 1:
        raise ValueError(f"n_classes must be at least 1, not {n_classes}")
    return torch.tensor([i % n_classes for i in _as_ints(indices)], dtype=torch.int64)


def _draw(
    seed: int,
    indices: Iterable[int] | Tensor,
    shape: Sequence[int],
    stream: str,
    fill: Callable[[np.random.Generator, np.ndarray], object],
) -> Tensor:
    if stream not in STREAMS:
        raise ValueError(f"unknown noise stream '{stream}'; known: {', '.join(STREAMS)}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be in 0 .. 2^64 - 1, not {seed}")
    numbers = _as_ints(indices)
    noise = np.empty((len(numbers), *shape), dtype=np.float64)
    key = np.array([seed, STREAMS[stream]], dtype=np.uint64)
    for row, i in zip(noise, numbers, strict=True):
        counter = np.array([0, 0, 0, i], dtype=np.uint64)
        fill(np.random.Generator(np.random.Philox(key=key, counter=counter)), row)
    return torch.from_numpy(noise)


def _as_ints(indices: Iterable[int] | Tensor) -> list[int]:
    numbers = indices.tolist() if isinstance(indices, Tensor) else [int(i) for i in indices]
    if any(i < 0 for i in numbers):
        raise ValueError(f"image numbers must not be negative, found {min(numbers)}")
    return numbers
