"""Distances between images in the activations of a frozen network (arXiv:1801.03924)."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nfbench.runtime import no_autocast

EPSILON = 1e-10  # added to squared lengths, so that zero activations have a finite gradient


class Inputs(nn.Module):
    """Resizes and normalises images, (B, c, H, W) nominally in [-1, 1], for a network.

    Resizing is bicubic and antialiased, as where features are measured. Grey images are repeated to the
    network's channels. Each channel is normalised, (x - mean) / std.

    Args:
        mean, std: of each channel, in units of [-1, 1].
        size: side that all images are resized to, pixels; None keeps it.
        least: side that smaller images are enlarged to, pixels.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], size: int | None = None, least: int = 0
    ) -> None:
        super().__init__()
        self.size, self.least = size, least
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, len(mean), H', W'), channels-last, in the dtype of `mean`."""
        x = images.to(self.mean.dtype)
        side = self.size or max(self.least, min(x.shape[-2:]))
        if side != min(x.shape[-2:]):
            x = F.interpolate(x, size=(side, side), mode="bicubic", antialias=True)
        x = (x - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)


class Tapped(nn.Module):
    """A chain of layers that returns the activations after some of them.

    The layer after a tapped one must not work in place.

    Args:
        layers: the chain; layers after the last tap are dropped.
        taps: indices of layers.
    """

    def __init__(self, layers: nn.Sequential, taps: Iterable[int]) -> None:
        super().__init__()
        self.taps = sorted(taps)
        self.layers = layers[: self.taps[-1] + 1]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the activations, (B, C, h, w) or (B, C) each, in the order of the chain."""
        tapped = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.taps:
                tapped.append(x)
        return tapped


class FeatureDistance(nn.Module):
    """Squared distance of normalised activations, averaged over positions, one number per image.

    d(a, b) = mean_l mean_positions ||u_l(a) - u_l(b)||^2, with u_l the activations of stage l, scaled to
    unit length over the channels at every position. This is LPIPS (arXiv:1801.03924, eq. 1) with equal
    channel weights. For any network it is 0 for equal images and at most 4, so that weights of 0.1 to 1
    suit it in a sum with an MSE.

    The network is frozen: it is in evaluation mode, only the prediction gets a gradient, and it computes in
    its own precision also in mixed-precision training, since rounding would hide small differences.

    Args:
        network: maps inputs to a list of activations, (B, C, h, w), or (B, C) for a single position.
        inputs: maps images to the network's inputs.
        channel_weights: of each stage, (C,), non-negative, instead of 1; stages are then summed instead of
            averaged, as in LPIPS.
    """

    def __init__(
        self, network: nn.Module, inputs: nn.Module, channel_weights: Sequence[Tensor] | None = None
    ) -> None:
        super().__init__()
        self.network, self.inputs = network, inputs
        self.channel_weights = nn.ParameterList(channel_weights or [])
        self.eval().requires_grad_(False)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the distance of every pair of images (B, c, H, W), nominally in [-1, 1], as (B,)."""
        with torch.no_grad():
            wanted = self.features(target)
        return (self.features(prediction) - wanted).square().sum(dim=1)

    def features(self, images: Tensor) -> Tensor:
        """Return points (B, F) whose squared Euclidean distances are the distances of the images."""
        with no_autocast(images.device):
            stages = [_unit(stage) for stage in self.network(self.inputs(images))]
            even = [stages[0].new_full((1,), 1 / len(stages))] * len(stages)
            weights = list(self.channel_weights) or even
            scaled = [
                (weight[:, None] / stage.shape[2]).sqrt() * stage
                for weight, stage in zip(weights, stages, strict=True)
            ]
            return torch.cat([stage.flatten(1) for stage in scaled], dim=1)


def _unit(activations: Tensor) -> Tensor:
    """Scale activations (B, C, ...) to unit length over the channels; return (B, C, positions)."""
    flat = activations.reshape(*activations.shape[:2], -1)
    return flat * (flat.square().sum(dim=1, keepdim=True) + EPSILON).rsqrt()
