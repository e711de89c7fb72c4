"""Training objectives of the reverse model (arXiv:2512.10953, section 4.1)."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.tarflow.model import TarFlow
from biflow.guidance import guided_reverse
from biflow.model import Projection, ReverseModel
from nfbench.data.tokens import images_to_tokens
from nfbench.runtime import fast_float32, is_mixed, no_autocast

ADAPTIVE_POWER = 1.0
ADAPTIVE_OFFSET = 0.01


@dataclass(frozen=True)
class Trajectory:
    """States of images in the frozen flow, as tokens (B, T, D).

    Attributes:
        clean: the image x, without the training noise.
        states: x_{K-1}, ..., x_0, in the order of the reverse; x_0 is the noisy image.
        z: the flow's output, divided by the prior's standard deviation.
    """

    clean: Tensor
    states: list[Tensor]
    z: Tensor


@torch.no_grad()
def trajectory(flow: TarFlow, x: Tensor, noisy: Tensor, y: Tensor | None) -> Trajectory:
    """Encode noisy images (B, c, H, W) with the flow and keep all states; `x` is the same without noise."""
    patch_size = flow.spec.patch_size
    # In float32 also in mixed-precision training: rounding to bfloat16 would add up over the blocks.
    device = noisy.device
    with no_autocast(device), fast_float32(device) if is_mixed(device) else nullcontext():
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


def adaptively_weighted(
    errors: Tensor, power: float = ADAPTIVE_POWER, offset: float = ADAPTIVE_OFFSET
) -> Tensor:
    """Mean over images of sg((d + c)^-p) d, with d the distance of an image and sg the stopped gradient.

    The form is MeanFlow's (arXiv:2505.13447). p = 1 and c = 0.01 are those of another paper by BiFlow's
    authors, who do not publish the constants of BiFlow. With p = 1, images and terms with d much larger
    than c have gradients of about equal size.

    Args:
        errors: (B, ...); d is the mean over all dimensions but the first.
        power: p; 0 gives the plain mean.
        offset: c, in the unit of d.
    """
    per_image = errors.reshape(len(errors), -1).mean(dim=1)
    return ((per_image.detach() + offset) ** -power * per_image).mean()


@dataclass(frozen=True)
class Terms:
    """Distance and weight of each term of a loss.

    Attributes:
        adaptive_weight: whether every term is divided by its own size, see `adaptively_weighted`.
        perceptual: distances added to the MSE of the output, each with its weight. They take prediction and
            target, images (B, c, H, W) nominally in [-1, 1], and return one distance per image, (B,).
    """

    adaptive_weight: bool = False
    perceptual: tuple[tuple[Callable[[Tensor, Tensor], Tensor], float], ...] = ()

    def state(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the term of a projected state, (B, T, D) both."""
        return self._mean((prediction - target).square())

    def output(self, model: ReverseModel, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the term of the model's output, (B, T, D) both: MSE plus weighted perceptual distances."""
        term = self._mean((prediction - target).square())
        for distance, weight in self.perceptual:
            images = model.to_images(prediction), model.to_images(target)
            term = term + weight * self._mean(distance(*images))
        return term

    def _mean(self, errors: Tensor) -> Tensor:
        return adaptively_weighted(errors) if self.adaptive_weight else errors.mean()


PLAIN = Terms()


def targets(model: ReverseModel, path: Trajectory) -> tuple[Tensor, list[Tensor]]:
    """Return the targets of the output and of each projected state, (B, T, D) each.

    The output's target is the clean image, or without learned denoising the noisy image x_0, which is then
    not a target of a state as well. Targets of states are divided by the model's units (norm control), so
    that the errors of all stages have equal weight.
    """
    states = path.states[: model.spec.n_states]
    scaled = [state / unit for state, unit in zip(states, model.state_units(), strict=True)]
    return path.clean if model.spec.output == "clean" else path.states[-1], scaled


def naive_distillation(
    model: ReverseModel, path: Trajectory, y: Tensor | None, terms: Terms = PLAIN
) -> Tensor:
    """Match the output only: dist(x, x'). No intermediate state has a target."""
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

    sum_i MSE(x_i / r_i, phi_i(h_i)) + dist(x, x'), i = K-1..0, with r_i the unit of state i. The next stage
    gets h_i itself, which is C wide; see `ReverseModel`. With guidance scales w, (B,), the next stage gets
    guided states, and the unguided ones are matched; see `biflow.guidance`.

    Raises:
        ValueError: the model's projections are not auxiliary.
    """
    return _matched(model, "auxiliary", path, y, terms, w)


def hidden_distillation(
    model: ReverseModel, path: Trajectory, y: Tensor | None, terms: Terms = PLAIN
) -> Tensor:
    """Match every state, which is also the input of the next stage, and the output to the clean image.

    sum_i MSE(x_i / r_i, phi_i(h_i)) + dist(x, x'), i = K-1..0, as in hidden alignment. But the next stage
    gets embed_i(phi_i(h_i)), made of D values per token; see `ReverseModel`. Gradients pass through, so that
    later terms also train earlier stages.

    Raises:
        ValueError: the model's projections are no bottleneck.
    """
    return _matched(model, "bottleneck", path, y, terms)


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
    result = model.reverse(path.z, y) if w is None else guided_reverse(model, path.z, y, w)
    output, states = targets(model, path)
    loss = terms.output(model, result.x, output)
    for state, target in zip(result.states, states, strict=True):
        loss = loss + terms.state(state, target)
    return loss


@dataclass(frozen=True)
class Objective:
    """A training objective and the architecture that it needs.

    Attributes:
        loss: maps (model, trajectory, labels, terms) to the loss; hidden alignment takes guidance scales too.
        projection: use of the projected states, see `biflow.model.ReverseSpec`.
    """

    loss: Callable[..., Tensor]
    projection: Projection


OBJECTIVES = {
    "alignment": Objective(hidden_alignment, "auxiliary"),
    "naive": Objective(naive_distillation, "none"),
    "hidden": Objective(hidden_distillation, "bottleneck"),
}
