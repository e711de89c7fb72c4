"""What the reverse model learns from the frozen flow (arXiv:2512.10953, section 4.1)."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.tarflow.model import TarFlow
from biflow.distances import adaptively_weighted, squared_error
from biflow.guidance import guided_reversal
from biflow.model import ReverseModel
from nfbench.data.tokens import images_to_tokens
from nfbench.device import fast_float32


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
    # Not in bfloat16, also in a mixed-precision training: rounding would add up over the blocks.
    device = noisy.device
    mixed = torch.is_autocast_enabled(device.type)
    with torch.autocast(device.type, enabled=False), fast_float32(device) if mixed else nullcontext():
        code = flow.encode(noisy, y)
    forward_states = [images_to_tokens(noisy, patch_size), *code.states[:-1]]
    return Trajectory(
        clean=images_to_tokens(x, patch_size),
        states=forward_states[::-1],
        z=code.z / flow.var.sqrt(),
    )


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over images, tokens and values."""
    return squared_error(prediction, target).mean()


@dataclass(frozen=True)
class Terms:
    """How the terms of a loss are measured and weighed.

    Attributes:
        adaptive_weight: whether every term is weighed by its own size, see `adaptively_weighted`.
        perceptual: distances of the output beside its MSE, each with its weight. They take prediction and
            target, images (B, c, H, W) nominally in [-1, 1], and return each image's distance, (B,).
    """

    adaptive_weight: bool = False
    perceptual: tuple[tuple[Callable[[Tensor, Tensor], Tensor], float], ...] = ()

    def state(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the term of a projected state, (B, T, D) both."""
        return self._mean(squared_error(prediction, target))

    def output(self, model: ReverseModel, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the term of the model's output, (B, T, D) both: MSE plus weighted perceptual distances."""
        term = self._mean(squared_error(prediction, target))
        for distance, weight in self.perceptual:
            images = model.to_images(prediction), model.to_images(target)
            term = term + weight * self._mean(distance(*images))
        return term

    def _mean(self, errors: Tensor) -> Tensor:
        return adaptively_weighted(errors) if self.adaptive_weight else errors.mean()


PLAIN = Terms()


def targets(model: ReverseModel, path: Trajectory) -> tuple[Tensor, list[Tensor]]:
    """Return what the output and each projected state are matched to, (B, T, D) each.

    The output's target is the clean image; without learned denoising it is the noisy x_0, which is then
    no state's target beside. Those of the states are divided by the model's units (norm control), so that
    every group's error weighs the same.
    """
    states = path.states[: model.spec.n_states]
    scaled = [state / unit for state, unit in zip(states, model.state_units(), strict=True)]
    return path.clean if model.spec.output == "clean" else path.states[-1], scaled


def naive_distillation(
    model: ReverseModel, path: Trajectory, y: Tensor | None, terms: Terms = PLAIN
) -> Tensor:
    """Match the final output alone: dist(x, x'). The states on the way are free."""
    output, _ = targets(model, path)
    return terms.output(model, model(path.z, y), output)


def hidden_alignment(
    model: ReverseModel,
    path: Trajectory,
    y: Tensor | None,
    terms: Terms = PLAIN,
    w: Tensor | None = None,
) -> Tensor:
    """Match a projection of every hidden state to the flow's state, and the output to the clean image.

    sum_i MSE(x_i / r_i, phi_i(h_i)) + dist(x, x'), i = K-1..0, with r_i the unit of state i. The model
    goes on from h_i itself, C wide; see `ReverseModel`. With guidance scales w, (B,), it goes on from
    guided states, and the un-guided ones are matched; see `biflow.guidance`.

    Raises:
        ValueError: the model has no projections, or goes on from them.
    """
    return _matched(model, "beside", path, y, terms, w)


def hidden_distillation(
    model: ReverseModel, path: Trajectory, y: Tensor | None, terms: Terms = PLAIN
) -> Tensor:
    """Match every state where it passes through data space, and the output to the clean image.

    sum_i MSE(x_i / r_i, phi_i(h_i)) + dist(x, x'), i = K-1..0, as in hidden alignment, but the model goes
    on from embed_i(phi_i(h_i)), D values a token; see `ReverseModel`. No gradient is stopped there: later
    terms also train the groups before them.

    Raises:
        ValueError: the model does not go on from its projections.
    """
    return _matched(model, "through", path, y, terms)


def _matched(
    model: ReverseModel,
    projection: str,
    path: Trajectory,
    y: Tensor | None,
    terms: Terms,
    w: Tensor | None = None,
) -> Tensor:
    if model.spec.projection != projection:
        raise ValueError(f"the model's projection is {model.spec.projection!r}, not {projection!r}")
    reversal = model.reverse(path.z, y) if w is None else guided_reversal(model, path.z, y, w)
    output, states = targets(model, path)
    loss = terms.output(model, reversal.x, output)
    for state, target in zip(reversal.states, states, strict=True):
        loss = loss + terms.state(state, target)
    return loss
