"""Guidance of the reverse model, learned in training or made of two evaluations (arXiv:2512.10953).

Guided state of group i, both terms on the same guided state before it:

    h_i = (1 + w) G_i(h_{i+1} | y) - w G_i(h_{i+1}).

The paper leaves open whether states or whole networks are combined, and how w is distributed. Here every
group is combined, the denoising one included, and w is uniform in [0, w_max], image by image, or for a
share of the images while the others have w = 0; an image whose label is dropped has w = 0.
"""

import torch
from torch import Tensor

from biflow.model import Reversal, ReverseModel


def draw_scales(y: Tensor, w_max: float, generator: torch.Generator, share: float = 1.0) -> Tensor:
    """Draw a guidance scale for every image: uniform in [0, w_max] for a share of those with a class, else 0.

    Args:
        y: class ids (B,); -1, no class, always has the scale 0.
        share: above 0, at most 1.
    """
    drawn = torch.rand(y.shape, device=y.device, generator=generator)
    stretched = ((drawn - (1 - share)) / share).clamp(min=0)  # the top `share` of [0, 1), to [0, 1) again
    return torch.where(y < 0, 0.0, w_max * stretched)


def guided_reversal(model: ReverseModel, z: Tensor, y: Tensor | None, w: Tensor) -> Reversal:
    """Run the model on guided states, and project the un-guided ones, which training matches to the flow's.

    The output of a group that is told w is taken as the guided state, h_i = G_i(h_{i+1} | y, w), and the
    next group is given it. Solved for the conditional prediction,

        u_i = (h_i + w sg G_i(h_{i+1} | no class, 0)) / (1 + w),

    with sg no gradient; phi_i(u_i) stands for x_i, and out(u_d) for the image, u_d being the denoising
    group's (the last group's where nothing denoises). Where all is met, out(h_d) is the guided image, in one
    evaluation. With w = 0 everywhere u_i = h_i, the plain reversal, gradients too.

    Args:
        z: noise, (B, T, D).
        y: class ids (B,), -1 for no class; None is -1 for all.
        w: scales (B,), in [0, guidance_max].

    Returns:
        The un-guided image and projected states; the model's heads read its states beside.
    """
    wide = w[:, None, None]
    before, unguided = model.start(z), []
    for i in range(model.n_groups):
        guided = model.run_group(i, before, y, w)
        with torch.no_grad():
            unconditional = model.run_group(i, before, None)
        unguided.append((guided + wide * unconditional) / (1 + wide))
        before = guided
    states = [head(u) for head, u in zip(model.heads, unguided[:-1], strict=True)]
    return Reversal(model.out(unguided[-1]), states)


def reverse_in_two_evaluations(model: ReverseModel, z: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """Guide any model without having trained it to: every group twice, with the class and without.

    The guided state h_i = (1 + w) G_i(h_{i+1} | y, 0) - w G_i(h_{i+1} | no class, 0) goes on; where a model
    goes on from its projections, the guided state is projected. Both evaluations of a group are one call on
    twice the images, as in the fast exact inverse.

    Args:
        z: noise, (B, T, D).
        y: class ids (B,), -1 for no class.
        w: scales (B,), >= 0.

    Returns:
        The tokens of guided images, (B, T, D).
    """
    wide, labels = w[:, None, None], torch.cat([y, torch.full_like(y, -1)])
    h = model.start(z)
    for i in range(model.n_groups):
        conditional, unconditional = model.run_group(i, h.repeat(2, 1, 1), labels).chunk(2)
        h, _ = model.go_on(i, conditional + wide * (conditional - unconditional))
    return model.out(h)
