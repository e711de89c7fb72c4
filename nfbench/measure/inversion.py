"""Errors of an inverse: against the exact inverse of the same noise, and of its images sent back to noise."""

import math
from typing import Any

import torch
from torch import Tensor

from nfbench.data.noise import latent_noise
from nfbench.data.pixels import to_uint8
from nfbench.measure.quality.uncertainty import bootstrap_mean, ends
from nfbench.measurements import row
from nfbench.sample.sample_set import batches

# A difference of more grey levels, of 255, in any pixel counts as visible. Work on attacks against
# classifiers holds changes of up to 8 to be hard to see (arXiv:1706.06083, on CIFAR-10).
VISIBLE_LEVELS = 8
BATCH_SIZE = 500


def mse_per_image(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared difference of every pair of images, in [-1, 1] units squared.

    Args:
        a: (B, ...), on any device and of any floating type.
        b: same shape.

    Returns:
        float64, (B,), NaN where either image holds a value that is not finite.

    Raises:
        ValueError: the shapes differ, or there is nothing to average over.
    """
    if a.shape != b.shape or a.ndim < 2:
        raise ValueError(f"cannot compare {tuple(a.shape)} with {tuple(b.shape)} image by image")
    squares = (a.double() - b.double()).flatten(1).square()
    finite = squares.isfinite().all(dim=1)
    return torch.where(finite, squares.mean(dim=1), torch.nan)


def visibly_off(images: Tensor, truth: Tensor, levels: int = VISIBLE_LEVELS) -> Tensor:
    """Return which images differ from the true ones by more than `levels` grey levels in some pixel.

    Both are compared as stored, clamped and rounded to 8 bits, so values outside [-1, 1] are no error. An MSE
    hides a few images that went wrong; their share does not.

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


def inversion_rows(images: Tensor, truth: Tensor) -> list[dict[str, Any]]:
    """Compare images with the exact inverse of the same noise.

    Args:
        images, truth: not clamped, (B, c, H, W). Where one is not finite, the mean error is empty: a mean
            over the others would be too good.
    """
    errors = mse_per_image(images, truth)
    share, n = visibly_off(images, truth).double().mean().item(), len(images)
    if errors.isfinite().all():
        found = row("inversion_mse", errors.mean().item(), n=n, **ends(bootstrap_mean(errors.numpy())))
    else:
        found = row("inversion_mse", None, n=n, flag="non_finite")
    return [found, row("inversion_visible_share", share, n=n)]


@torch.no_grad()
def residual_row(flow: Any, images: Tensor, labels: Tensor, seed: int) -> dict[str, Any]:
    """Measure the RMS per dimension of F(x) - z over all images; empty where one is not finite.

    Args:
        flow: F, on the device where it is to run.
        images: of an inverse without denoising or guidance, (B, c, H, W), not clamped.
        labels: class ids, (B,).
        seed: of the noise that they were drawn from.
    """
    errors, device = [], flow.var.device
    shape = (flow.spec.n_tokens, flow.spec.token_dim)
    for indices in batches(len(images), BATCH_SIZE):
        chosen = slice(indices.start, indices.stop)
        z = flow.encode(images[chosen].to(device), labels[chosen].to(device)).z / flow.var.sqrt()
        errors.append(mse_per_image(z.cpu(), latent_noise(seed, indices, shape)))
    mean = torch.cat(errors).mean().item()
    if not math.isfinite(mean):
        return row("residual", None, n=len(images), flag="non_finite")
    return row("residual", math.sqrt(mean), n=len(images))
