"""Architectures of equal size, so that what is compared is not the number of parameters."""

import dataclasses

import torch

from biflow.layers import default_hidden
from biflow.model import ReverseModel, ReverseSpec


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
    hidden = default_hidden(best.width) + 8 * round(missing / (8 * per_hidden_unit))
    best = dataclasses.replace(best, mlp_width=max(8, hidden))
    found = sampling_parameters(best)
    if abs(found - n_parameters) > tolerance * n_parameters:
        raise ValueError(
            f"no width near {best.width} has {n_parameters} parameters within {tolerance:.0%}; found {found}"
        )
    return best
