"""How large networks are, and architectures of equal size: what is compared is not the parameters' number."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import nn

from baselines.tarflow.flops import encode_flops, inverse_flops
from baselines.tarflow.model import TarFlow, TarFlowSpec
from biflow.layers import default_hidden
from biflow.model import ReverseModel, ReverseSpec
from nfbench.measure.flops import count_flops


@dataclass(frozen=True)
class Size:
    """What a network holds, and what an image costs.

    Attributes:
        parts: blocks of a flow, groups of a reverse model; each has `layers` transformer layers.
        parameters: in training.
        sampling_parameters: in sampling, which needs no heads that only read the states.
        pass_flops: FLOPs an image of one pass: of a flow's encoding, or of a reverse model's evaluation.
        inverse_flops: FLOPs an image of a flow's exact inverse without guidance; None for reverse models.
    """

    width: int
    parts: int
    layers: int
    parameters: int
    sampling_parameters: int
    pass_flops: int
    inverse_flops: int | None = None


def n_parameters(module: nn.Module) -> int:
    """Count a module's parameters."""
    return sum(p.numel() for p in module.parameters())


def flow_size(spec: TarFlowSpec) -> Size:
    """Size a flow up, without making its weights."""
    with torch.device("meta"):
        total = n_parameters(TarFlow(spec))
    return Size(
        width=spec.width,
        parts=spec.blocks,
        layers=spec.layers_per_block,
        parameters=total,
        sampling_parameters=total,
        pass_flops=encode_flops(spec),
        inverse_flops=inverse_flops(spec),
    )


def reverse_size(spec: ReverseSpec) -> Size:
    """Size a reverse model up, without making its weights."""
    with torch.device("meta"):
        model = ReverseModel(spec)
        z, y = torch.empty(1, spec.n_tokens, spec.token_dim), torch.zeros(1, dtype=torch.long)
        with torch.no_grad():
            pass_flops = count_flops(lambda: model(z, y))
    return Size(
        width=spec.width,
        parts=spec.blocks + (spec.denoising == "learned"),
        layers=spec.layers_per_group,
        parameters=n_parameters(model),
        sampling_parameters=model.n_sampling_parameters(),
        pass_flops=pass_flops,
    )


def sampling_parameters(spec: ReverseSpec) -> int:
    """Count the parameters that sampling from such a model uses, without making their values."""
    with torch.device("meta"):
        return ReverseModel(spec).n_sampling_parameters()


def matched_spec(spec: ReverseSpec, n_parameters: int, tolerance: float = 0.02) -> ReverseSpec:
    """Widen (or narrow) an architecture until its sampling uses a given number of parameters.

    E.g. one without learned denoising, which lacks a group, to the size of one with it (arXiv:2512.10953
    widens it so). The number of attention heads stays, and the width goes in steps of 4 a head, since
    rotary rows and columns need it. Where the best of these coarse steps is not within the tolerance, the
    perceptrons' hidden width makes up the difference.

    Args:
        spec: the architecture; its own `mlp_width` is not kept.
        n_parameters: what `ReverseModel.n_sampling_parameters` shall be.
        tolerance: largest relative deviation.

    Raises:
        ValueError: there is no such width.
    """
    n_heads = spec.width // spec.head_dim
    sizes = [
        dataclasses.replace(spec, width=n_heads * head_dim, head_dim=head_dim, mlp_width=None)
        for head_dim in range(4, 2 * spec.head_dim + 1, 4)
    ]
    best = min(sizes, key=lambda size: abs(sampling_parameters(size) - n_parameters))
    missing = n_parameters - sampling_parameters(best)
    if abs(missing) <= tolerance * n_parameters:
        return best
    groups = spec.blocks + (spec.denoising == "learned")
    per_hidden_unit = 3 * best.width * groups * spec.layers_per_group
    hidden = default_hidden(best.width) + round(missing / per_hidden_unit)
    best = dataclasses.replace(best, mlp_width=max(1, hidden))
    found = sampling_parameters(best)
    if abs(found - n_parameters) > tolerance * n_parameters:
        raise ValueError(
            f"no width near {best.width} has {n_parameters} parameters within {tolerance:.0%}; found {found}"
        )
    return best
