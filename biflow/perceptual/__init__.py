"""Perceptual distances for the image term of a loss (arXiv:2512.10953, section 4.1), by name.

A new one is a function in `networks`, an entry of PERCEPTUAL, and its name in `nfbench.config.Weights`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from biflow.perceptual import networks
from biflow.perceptual.features import FeatureDistance
from nfbench.errors import UserError, closest

__all__ = ["PERCEPTUAL", "FeatureDistance", "Perceptual", "feature_spaces_in_loss", "load_perceptual"]


@dataclass(frozen=True)
class Perceptual:
    """A perceptual distance.

    Attributes:
        summary: one line on it.
        spaces: the benchmark's feature spaces that its features belong to; a model that was trained with
            this distance cannot be judged in them.
        load: builds it on the CPU from the file of the data set's classifier, or None.
    """

    summary: str
    spaces: tuple[str, ...]
    load: Callable[[Path | None], FeatureDistance]


PERCEPTUAL = {
    "effnet": Perceptual(
        "EfficientNet-Lite0 trained on ImageNet, at 32 pixels", ("effnet",), lambda _: networks.effnet()
    ),
    "classifier": Perceptual("the data set's own classifier", ("classifier",), networks.classifier),
    "lpips-vgg": Perceptual("LPIPS with VGG16, at 64 pixels or more", (), lambda _: networks.lpips()),
    "convnext-v2": Perceptual("ConvNeXt V2 base, at 64 pixels or more", (), lambda _: networks.convnext()),
}


def load_perceptual(
    names: Iterable[str], device: torch.device | str = "cpu", classifier: str | Path | None = None
) -> dict[str, FeatureDistance]:
    """Build distances by name.

    Args:
        names: keys of PERCEPTUAL.
        device: where images are compared.
        classifier: file of the data set's classifier, for the distance "classifier" only.

    Raises:
        UserError: a name is unknown, or a file or package is missing.
    """
    path = None if classifier is None else Path(classifier)
    return {name: _entry(name).load(path).to(device) for name in names}


def feature_spaces_in_loss(names: Iterable[str]) -> list[str]:
    """Return the benchmark's feature spaces that a loss with these distances compares, sorted.

    Raises:
        UserError: a name is unknown.
    """
    return sorted({space for name in names for space in _entry(name).spaces})


def _entry(name: str) -> Perceptual:
    if name not in PERCEPTUAL:
        raise UserError(f"There is no perceptual distance '{name}'; {closest(name, list(PERCEPTUAL))}")
    return PERCEPTUAL[name]
