"""How well images were edited: what was kept, what was filled in, and what the classifier sees.

A set with an image that is not finite has no scores, but the reason.
"""

from typing import Any

import torch
from torch import Tensor

from nfbench.data.pixels import to_uint8
from nfbench.measure.classifier import DomainClassifier, predict
from nfbench.measure.inversion import mse_per_image

SCORES = (
    *("kept_mse", "kept_mse_median", "kept_mse_pasted", "hidden_mse", "hidden_mse_median"),
    *("label_accuracy", "label_accuracy_pasted", "kept_class_share"),
)


def masked_mse(a: Tensor, b: Tensor, where: Tensor) -> Tensor:
    """Return the mean squared difference of every pair of images over some of their pixels.

    Args:
        a, b: finite images (B, c, H, W), in [-1, 1] units.
        where: the pixels that count, bool, (H, W) or (B, 1, H, W).

    Returns:
        float64, (B,), in [-1, 1] units squared.

    Raises:
        ValueError: an image has no pixel that counts.
    """
    counted = where.expand(a.shape).flatten(1)
    if not counted.any(dim=1).all():
        raise ValueError("an image has no pixel to average over")
    squares = (a.double() - b.double()).square().flatten(1)
    return torch.where(counted, squares, 0.0).sum(dim=1) / counted.sum(dim=1)


def shares(classifier: DomainClassifier, images: Tensor, classes: dict[str, Tensor]) -> dict[str, float]:
    """Return the shares of images that are taken for given classes.

    Args:
        images: finite, (B, c, H, W), nominally in [-1, 1]; clamped and rounded to 8 bits here.
        classes: {name: class ids (B,)}.
    """
    found = torch.from_numpy(predict(classifier, to_uint8(images)[0].cpu().numpy()))
    return {name: (found == wanted).double().mean().item() for name, wanted in classes.items()}


def inpainting_scores(
    classifier: DomainClassifier, images: Tensor, labels: Tensor, hidden: Tensor, raw: Tensor, pasted: Tensor
) -> dict[str, Any]:
    """Compare inpainted images with the true ones.

    Args:
        images, raw, pasted: the true images, the sampler's, and those with the known pixels pasted back.
        hidden: as for `masked_mse`.
    """
    if spoilt := not_finite(raw):
        return spoilt
    return _scores(
        **_errors("kept_mse", masked_mse(raw, images, ~hidden)),
        kept_mse_pasted=masked_mse(pasted, images, ~hidden).mean().item(),
        **_errors("hidden_mse", masked_mse(raw, images, hidden)),
        **shares(classifier, raw, {"label_accuracy": labels}),
        **shares(classifier, pasted, {"label_accuracy_pasted": labels}),
    )


def class_editing_scores(
    classifier: DomainClassifier, images: Tensor, y_from: Tensor, y_to: Tensor, edited: Tensor
) -> dict[str, Any]:
    """Compare edited images with the originals and ask which of the two classes they are taken for.

    `label_accuracy` is the share taken for y_to, `kept_class_share` for y_from; nothing is hidden, so
    `kept_mse` is over all pixels.
    """
    if spoilt := not_finite(edited):
        return spoilt
    return _scores(
        **_errors("kept_mse", mse_per_image(edited, images)),
        **shares(classifier, edited, {"label_accuracy": y_to, "kept_class_share": y_from}),
    )


def not_finite(images: Tensor) -> dict[str, Any] | None:
    """Return empty scores with the reason where an image is not finite, else None."""
    bad = int((~images.isfinite()).flatten(1).any(dim=1).sum())
    return _scores(bad, f"{bad} of {len(images)} images are not finite") if bad else None


def _errors(name: str, per_image: Tensor) -> dict[str, float]:
    """Return mean and median over images: a few whose denoising runs away would make the mean alone."""
    return {name: per_image.mean().item(), f"{name}_median": per_image.quantile(0.5).item()}


def _scores(non_finite: int = 0, reason: str | None = None, **measured: float) -> dict[str, Any]:
    return dict.fromkeys(SCORES) | measured | {"non_finite": non_finite, "reason": reason}


def largest_change(a: Tensor, b: Tensor) -> float:
    """Return the largest absolute difference of two results; NaN where either is."""
    return (a - b).abs().max().item()
