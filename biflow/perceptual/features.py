"""Distances between images in the activations of a frozen network."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-10  # squared length below which activations are not made unit any more


class Inputs(nn.Module):
    """Turns images, (B, c, H, W) nominally in [-1, 1], into what a network takes.

    Images are resized (bicubic, antialiased, as where features are measured), grey ones are repeated to
    the network's channels, and each channel is normalised, (x - mean) / std.

    Args:
        mean: of each channel, in units of [-1, 1].
        std: the same.
        size: side that all images are resized to, pixels; None for none.
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
    """A chain of layers, with the activations after some of them.

    A tapped layer must not be followed by one that works in place.

    Args:
        layers: the chain; what follows the last tap is left out.
        taps: indices of the layers.
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
    """Squared distance of unit activations, averaged over places, image by image.

    d(a, b) = mean_l mean_places ||u_l(a) - u_l(b)||^2, with u_l the activations of stage l, scaled to
    unit length over the channels at every place. That is the form of LPIPS (arXiv:1801.03924, eq. 1) with
    every channel weighing the same. It is 0 for equal images and at most 4, whatever the network, so that
    weights of 0.1 to 1 fit beside an MSE; the activations of a stage (B, C) are one place.

    The network is frozen: it is in evaluation mode, gradients reach the prediction alone, and it computes
    in its own precision also where a training is in a lower one, since small differences of activations
    would be lost.

    Args:
        network: maps inputs to a list of activations, (B, C, h, w) or (B, C) each.
        inputs: maps images to the network's inputs.
        channel_weights: of each stage, (C,), non-negative, in place of 1; stages are then summed, not
            averaged, as LPIPS does.
    """

    def __init__(
        self, network: nn.Module, inputs: nn.Module, channel_weights: Sequence[Tensor] | None = None
    ) -> None:
        super().__init__()
        self.network, self.inputs = network, inputs
        self.channel_weights = nn.ParameterList(channel_weights or [])
        self.eval().requires_grad_(False)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare images (B, c, H, W), nominally in [-1, 1]; return each one's distance, (B,)."""
        with torch.no_grad():
            wanted = self.features(target)
        return (self.features(prediction) - wanted).square().sum(dim=1)

    def features(self, images: Tensor) -> Tensor:
        """Return points (B, F) whose squared Euclidean distances are the images' distances."""
        with torch.autocast(images.device.type, enabled=False):
            stages = [_unit(stage) for stage in self._activations(images)]
            even = [stages[0].new_tensor([1 / len(stages)])] * len(stages)
            weights = list(self.channel_weights) or even
            scaled = [
                (weight[:, None] / stage.shape[2]).sqrt() * stage
                for weight, stage in zip(weights, stages, strict=True)
            ]
            return torch.cat([stage.flatten(1) for stage in scaled], dim=1)

    def _activations(self, images: Tensor) -> list[Tensor]:
        return self.network(self.inputs(images))


def _unit(activations: Tensor) -> Tensor:
    """Scale activations (B, C, ...) to unit length over the channels; return (B, C, places).

    The root is of a sum that cannot be 0, where its slope would be infinite.
    """
    flat = activations.reshape(*activations.shape[:2], -1)
    return flat * (flat.square().sum(dim=1, keepdim=True) + EPSILON).rsqrt()
