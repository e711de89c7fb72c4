"""Classifier-free guidance of the reverse model, in training or with two evaluations (arXiv:2512.10953).

The guided state of stage i is, with both terms computed from the guided state of the stage before,

    h_i = (1 + w) G_i(h_{i+1} | y) - w G_i(h_{i+1}).

The paper leaves open whether states or outputs are combined, and how w is distributed. Here the states of
all stages are combined, and w of each image is uniform in [0, w_max] with probability `guidance_prob` and
otherwise 0. An image whose label is dropped has w = 0.
"""

import torch
from torch import Tensor

from biflow.model import ReverseModel, ReverseOutput


def draw_scales(y: Tensor, w_max: float, generator: torch.Generator, probability: float = 1.0) -> Tensor:
    """Draw a guidance scale for every image: uniform in [0, w_max] with a probability, else 0.

    Args:
        y: class ids (B,); -1, no class, always has the scale 0.
        probability: in (0, 1].
    """
    drawn = torch.rand(y.shape, device=y.device, generator=generator)
    # map the upper part of [0, 1), of length `probability`, to [0, 1)
    stretched = ((drawn - (1 - probability)) / probability).clamp(min=0)
    return torch.where(y < 0, 0.0, w_max * stretched)


def guided_reverse(model: ReverseModel, z: Tensor, y: Tensor | None, w: Tensor) -> ReverseOutput:
    """Run the model on guided states and return the unguided predictions, which training matches.

    The output of a stage that gets w is defined as the guided state, h_i = G_i(h_{i+1} | y, w), and is the
    input of the next stage. Solving for the conditional prediction gives

        u_i = (h_i + w sg G_i(h_{i+1} | no class, 0)) / (1 + w),

    with sg the stopped gradient. phi_i(u_i) predicts x_i, and out(u) of the last stage predicts the image.
    Sampling returns out(h) of the last stage: the guided image, in one evaluation. With w = 0 everywhere,
    u_i = h_i, which is the plain reverse pass and has its gradients.

    Args:
        model: with auxiliary projections.
        z: noise, (B, T, D).
        y: class ids (B,), -1 for no class; None means -1 for all.
        w: scales (B,), in [0, guidance_max].
    """
    wide = w[:, None, None]
    before, unguided = model.start(z), []
    for i in range(model.n_stages):
        guided = model.run_stage(i, before, y, w)
        with torch.no_grad():
            unconditional = model.run_stage(i, before, None)
        unguided.append((guided + wide * unconditional) / (1 + wide))
        before = guided
    states = [head(u) for head, u in zip(model.heads, unguided[:-1], strict=True)]
    return ReverseOutput(model.out(unguided[-1]), states)


def reverse_in_two_evaluations(model: ReverseModel, z: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """Guide any model by evaluating every stage twice, with and without the class.

    The guided state h_i = (1 + w) G_i(h_{i+1} | y, 0) - w G_i(h_{i+1} | no class, 0) is the input of the
    next stage; a bottleneck projects the guided state. Both evaluations of a stage are one call on twice the
    images, as in the fast exact inverse.

    Args:
        z: noise, (B, T, D).
        y: class ids (B,), -1 for no class.
        w: scales (B,), >= 0.

    Returns:
        Tokens of the guided images, (B, T, D).
    """
    wide, labels = w[:, None, None], torch.cat([y, torch.full_like(y, -1)])
    h = model.start(z)
    for i in range(model.n_stages):
        conditional, unconditional = model.run_stage(i, h.repeat(2, 1, 1), labels).chunk(2)
        h, _ = model.next_hidden(i, conditional + wide * (conditional - unconditional))
    return model.out(h)
