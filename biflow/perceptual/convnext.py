"""Distance in the activations of ConvNeXt V2 (arXiv:2301.00808), with the optional package timm.

Which features BiFlow's authors take is not published; here they are the four stages' outputs. The
published weights may not be used commercially (CC BY-NC 4.0).
"""

from torch import nn

from biflow.perceptual.features import FeatureDistance, Inputs
from biflow.perceptual.weights import find_weights, read_weights
from nfbench.errors import UserError

NAME = "convnext-v2"
ARCHITECTURE = "convnextv2_base"
URL = "https://dl.fbaipublicfiles.com/convnext/convnextv2/im1k/convnextv2_base_1k_224_ema.pt"
LEAST_SIZE = 64  # pixels; the last stage is then 2x2

# ImageNet's, in units of [-1, 1].
MEAN = tuple(2 * mean - 1 for mean in (0.485, 0.456, 0.406))
STD = tuple(2 * std for std in (0.229, 0.224, 0.225))


def convnext_distance(stages: nn.Module) -> FeatureDistance:
    """Compare the outputs of all stages of a network; see `FeatureDistance`.

    Images with a side under 64 pixels are enlarged to it first; larger ones stay as they are.

    Args:
        stages: maps normalised images (B, 3, H, W) to a list of activations, (B, C, h, w) each.
    """
    return FeatureDistance(stages, Inputs(MEAN, STD, least=LEAST_SIZE))


def load(architecture: str = ARCHITECTURE) -> FeatureDistance:
    """Build the distance from timm's network and the published file in torch's folder.

    Raises:
        UserError: the package or the file is missing, or the file holds other weights.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise UserError(
            f"The distance '{NAME}' needs the package timm;"
            " install it with pip install 'biflow-bench[perceptual]'."
        ) from None
    path = find_weights(URL, NAME)
    read_weights(path)
    try:
        # timm knows the names that the weights' authors gave their layers, and turns them into its own.
        network = timm.create_model(
            architecture, features_only=True, pretrained=True, pretrained_cfg_overlay={"file": str(path)}
        )
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} holds other weights ({reason}); download it again.") from None
    return convnext_distance(network)
