"""LPIPS with VGG16 (arXiv:1801.03924, version 0.1), as torch-fidelity's `lpips-vgg16` measures it."""

import torch
from torch import Tensor, nn

from biflow.perceptual.features import FeatureDistance, Inputs, Tapped
from biflow.perceptual.weights import find_weights, read_weights
from nfbench.errors import UserError

NAME = "lpips-vgg"
TAPS = (3, 8, 15, 22, 29)  # the last ReLU before each of the five poolings
LEAST_SIZE = 64  # pixels; the last stage is then 4x4

# The paper's code gives them in units of [-1, 1]; they are ImageNet's, rounded.
MEAN = (-0.030, -0.088, -0.188)
STD = (0.458, 0.448, 0.450)


def lpips(features: nn.Sequential, channel_weights: list[Tensor]) -> FeatureDistance:
    """Compare five stages of VGG16, weighed by how much each channel matters to people.

    Images with a side under 64 pixels are enlarged to it first: the published network would shrink them
    to nothing. Larger ones stay as they are. torch-fidelity's own module would give the same numbers, but
    the gradient of its normalisation is not finite where all channels are 0.

    Args:
        features: the convolutions of torchvision's VGG16.
        channel_weights: of each stage, (C,).
    """
    return FeatureDistance(Tapped(features, TAPS), Inputs(MEAN, STD, least=LEAST_SIZE), channel_weights)


def load() -> FeatureDistance:
    """Build the distance from the two published files in torch's folder.

    Raises:
        UserError: one of them is missing or corrupt.
    """
    # not at the top: every training would import torchvision, and few use it
    from torch_fidelity.sample_similarity_lpips import URL_VGG16_LPIPS
    from torchvision.models import VGG16_Weights, vgg16

    paths = [find_weights(url, NAME) for url in (URL_VGG16_LPIPS, VGG16_Weights.IMAGENET1K_V1.url)]
    linear, published = map(read_weights, paths)
    try:
        weights = [linear[f"lin{stage}.model.1.weight"].flatten() for stage in range(len(TAPS))]
        with torch.device("meta"):  # the weights come next; random ones would take a second to draw
            features = vgg16(weights=None).features
        prefix = "features."
        convolutions = {k.removeprefix(prefix): v for k, v in published.items() if k.startswith(prefix)}
        features.load_state_dict(convolutions, assign=True)
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        names = " or ".join(str(path) for path in paths)
        raise UserError(f"{names} holds other weights ({reason}); download it again.") from None
    return lpips(features, weights)
