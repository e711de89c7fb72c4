"""Scores of edited images: errors on known and hidden pixels, and the classes that the classifier finds."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nfbench.data.pixels import to_uint8
from nfbench.measure.inversion import mse_per_image
from nfbench.measure.quality.classifier import DomainClassifier, predict
from nfbench.measurements import row

# Metrics of each task; all are empty where an image is not finite.
INPAINTING = (
    *("kept_mse", "kept_mse_median", "kept_mse_pasted", "hidden_mse", "hidden_mse_median"),
    *("label_accuracy_edited", "label_accuracy_pasted"),
)
CLASS_EDITING = ("kept_mse", "kept_mse_median", "label_accuracy_edited", "kept_class_share")

Scores = dict[str, float | None]


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


def shares(classifier: DomainClassifier, images: Tensor, classes: Mapping[str, Tensor]) -> Scores:
    """Return the shares of images in which the classifier finds given classes.

    Args:
        images: finite, (B, c, H, W), nominally in [-1, 1]; clamped and rounded to 8 bits here.
        classes: {name: class ids (B,)}.
    """
    found = torch.from_numpy(predict(classifier, to_uint8(images)[0].cpu().numpy()))
    return {name: (found == wanted).double().mean().item() for name, wanted in classes.items()}


def inpainting_scores(
    classifier: DomainClassifier, images: Tensor, labels: Tensor, hidden: Tensor, raw: Tensor, pasted: Tensor
) -> Scores:
    """Compare inpainted images with the true ones; returns INPAINTING and "non_finite", a count.

    Args:
        images, raw, pasted: the true images, the sampler's, and those with the known pixels pasted back.
        hidden: as for `masked_mse`.
    """
    if bad := count_non_finite(raw):
        return dict.fromkeys(INPAINTING) | {"non_finite": bad}
    return {
        **_errors("kept_mse", masked_mse(raw, images, ~hidden)),
        "kept_mse_pasted": masked_mse(pasted, images, ~hidden).mean().item(),
        **_errors("hidden_mse", masked_mse(raw, images, hidden)),
        **shares(classifier, raw, {"label_accuracy_edited": labels}),
        **shares(classifier, pasted, {"label_accuracy_pasted": labels}),
        "non_finite": 0,
    }


def class_editing_scores(
    classifier: DomainClassifier, images: Tensor, y_from: Tensor, y_to: Tensor, edited: Tensor
) -> Scores:
    """Compare edited images with the originals; returns CLASS_EDITING and "non_finite", a count.

    `label_accuracy_edited` is the share of class y_to, `kept_class_share` that of y_from. Nothing is hidden,
    so `kept_mse` is over all pixels.
    """
    if bad := count_non_finite(edited):
        return dict.fromkeys(CLASS_EDITING) | {"non_finite": bad}
    return {
        **_errors("kept_mse", mse_per_image(edited, images)),
        **shares(classifier, edited, {"label_accuracy_edited": y_to, "kept_class_share": y_from}),
        "non_finite": 0,
    }


def editing_rows(scores: Scores, *, n: int, **keys: Any) -> list[dict[str, Any]]:
    """Turn scores into measurement rows; those without a value are flagged where an image is not finite.

    Args:
        scores: by metric.
        n: number of images.
        keys: further columns of every row, e.g. task.
    """
    rows = []
    for name, value in scores.items():
        flag = {"flag": "non_finite"} if value is None and scores.get("non_finite") else {}
        rows.append(row(name, value, n=n, **keys, **flag))
    return rows


def count_non_finite(images: Tensor) -> int:
    """Return the number of images with a value that is not finite."""
    return int((~images.isfinite()).flatten(1).any(dim=1).sum())


def largest_change(a: Tensor, b: Tensor) -> float:
    """Return the largest absolute difference of two results; NaN where either is."""
    return (a - b).abs().max().item()


def _errors(name: str, per_image: Tensor) -> Scores:
    """Return mean and median over images: a few images that run away dominate the mean alone."""
    return {name: per_image.mean().item(), f"{name}_median": per_image.quantile(0.5).item()}
