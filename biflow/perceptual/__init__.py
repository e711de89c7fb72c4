"""Perceptual distances for the image end of a loss (arXiv:2512.10953, section 4.1), by name.

A new one is a module with a loader, an entry of PERCEPTUAL, and its name in the schema of experiments.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from biflow.perceptual import classifier, convnext, effnet, lpips
from biflow.perceptual.features import FeatureDistance
from nfbench.errors import UserError, closest

__all__ = ["PERCEPTUAL", "FeatureDistance", "Perceptual", "load_perceptual", "seen_spaces"]


@dataclass(frozen=True)
class Perceptual:
    """A perceptual distance on offer.

    Attributes:
        summary: one line on it.
        seen: the benchmark's feature spaces that its features belong to; scores there are of a space that
            the training has seen.
        load: builds it, on the CPU; takes the file of the data set's classifier, None where there is none.
    """

    summary: str
    seen: tuple[str, ...]
    load: Callable[[Path | None], FeatureDistance]


PERCEPTUAL = {
    "effnet": Perceptual(
        "EfficientNet-Lite0 trained on ImageNet, at 32 pixels", ("effnet",), lambda _: effnet.load()
    ),
    "classifier": Perceptual("the data set's own classifier", ("classifier",), classifier.load),
    "lpips-vgg": Perceptual("LPIPS with VGG16, at 64 pixels or more", (), lambda _: lpips.load()),
    "convnext-v2": Perceptual("ConvNeXt V2 base, at 64 pixels or more", (), lambda _: convnext.load()),
}


def load_perceptual(
    names: Iterable[str], device: torch.device | str = "cpu", classifier: str | Path | None = None
) -> dict[str, FeatureDistance]:
    """Build distances by name.

    Args:
        names: keys of PERCEPTUAL.
        device: where images will be compared.
        classifier: file of the data set's classifier; only the distance "classifier" reads it.

    Raises:
        UserError: no such distance, or what it needs is missing.
    """
    path = None if classifier is None else Path(classifier)
    return {name: _entry(name).load(path).to(device) for name in names}


def seen_spaces(perceptual_names: Iterable[str]) -> list[str]:
    """Return the benchmark's feature spaces that a loss with these distances sees, sorted.

    Raises:
        UserError: no such distance.
    """
    return sorted({space for name in perceptual_names for space in _entry(name).seen})


def _entry(name: str) -> Perceptual:
    if name not in PERCEPTUAL:
        raise UserError(f"There is no perceptual distance '{name}'; {closest(name, list(PERCEPTUAL))}")
    return PERCEPTUAL[name]
