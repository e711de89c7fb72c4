"""What the reverse model learns from the frozen flow (arXiv:2512.10953, section 4.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.tarflow.model import TarFlow
from biflow.model import ReverseModel
from nfbench.data.tokens import images_to_tokens


@dataclass(frozen=True)
class Trajectory:
    """An image's way through the frozen flow, as tokens (B, T, D).

    Attributes:
        clean: x, without the training noise.
        states: x_{K-1}, ..., x_0, the order in which they are reversed; x_0 is the noisy image.
        z: the noise at the flow's end, of unit variance.
    """

    clean: Tensor
    states: list[Tensor]
    z: Tensor


@torch.no_grad()
def trajectory(flow: TarFlow, x: Tensor, noisy: Tensor, y: Tensor | None) -> Trajectory:
    """Follow noisy images (B, c, H, W) through the flow; `x` are the same images without noise."""
    patch_size = flow.spec.patch_size
    # In full precision also in a mixed-precision training: rounding would add up over the blocks.
    with torch.autocast(noisy.device.type, enabled=False):
        code = flow.encode(noisy, y)
    forward_states = [images_to_tokens(noisy, patch_size), *code.states[:-1]]
    return Trajectory(
        clean=images_to_tokens(x, patch_size),
        states=forward_states[::-1],
        z=code.z / flow.var.sqrt(),
    )


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over images, tokens and values."""
    return (prediction - target).square().mean()


def hidden_alignment(model: ReverseModel, path: Trajectory, y: Tensor | None) -> Tensor:
    """Match a projection of every hidden state to the flow's state, and the output to the clean image.

    sum_i MSE(x_i / rms_i, phi_i(h_i)) + MSE(x, x'), i = K-1..0. Dividing by the RMS of each target
    (norm control) lets every group's error weigh the same.
    """
    reversal = model.reverse(path.z, y)
    loss = mse(reversal.x, path.clean)
    for state, target, rms in zip(reversal.states, path.states, model.target_rms, strict=True):
        loss = loss + mse(state, target / rms)
    return loss
