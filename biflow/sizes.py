"""Sizes of networks without making their weights, reverse models of equal size, and random weights."""

import dataclasses
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from baselines.farmer import FarmerStudent, StudentSpec
from baselines.tarflow import cost
from baselines.tarflow.model import TarFlow, TarFlowSpec
from biflow.layers import default_hidden
from biflow.model import ReverseModel, ReverseSpec
from nfbench.measure.speed.flops import count_flops

Spec = TarFlowSpec | StudentSpec | ReverseSpec
NETWORKS = {TarFlowSpec: TarFlow, StudentSpec: FarmerStudent, ReverseSpec: ReverseModel}


@dataclass(frozen=True)
class Size:
    """Size of a network, and the cost of an image.

    Attributes:
        parts: blocks of a flow or stages of a reverse model, with `layers` transformer layers each.
        parameters: in training.
        sampling_parameters: in sampling, which needs no auxiliary heads.
        pass_flops: FLOPs per image of one pass: the encoding of a flow, or one evaluation of a reverse.
        inverse_flops: FLOPs per image of a flow's exact inverse without guidance; None for reverses.
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


def network_size(spec: Spec) -> Size:
    """Return the size of a flow, a reverse model or a FARMER student."""
    with torch.device("meta"):
        total = n_parameters(NETWORKS[type(spec)](spec))
    if isinstance(spec, ReverseSpec):
        layers, used, evaluation = spec.layers_per_stage, sampling_parameters(spec), pass_flops(spec)
        return Size(spec.width, n_stages(spec), layers, total, used, evaluation)
    flow = spec.flow if isinstance(spec, StudentSpec) else spec
    size = Size(flow.width, flow.blocks, flow.layers_per_block, total, total, cost.encode_flops(flow))
    if isinstance(spec, StudentSpec):
        return dataclasses.replace(size, pass_flops=cost.pass_flops(flow))
    return dataclasses.replace(size, inverse_flops=cost.inverse_flops(flow))


@cache
@torch.no_grad()
def pass_flops(spec: ReverseSpec) -> int:
    """Count the FLOPs of one evaluation of a reverse model for one image."""
    with torch.device("meta"):
        model = ReverseModel(spec)
        z, y = torch.empty(1, spec.n_tokens, spec.token_dim), torch.zeros(1, dtype=torch.long)
        return count_flops(lambda: model(z, y))


def random_network(spec: Spec, device: torch.device) -> nn.Module:
    """Return a network with random weights, none zero, in evaluation mode, for timing.

    Matrix products with zeros draw less power, and a GPU may run them at a higher clock. The maps to
    log-scales stay small, so that samples are finite.
    """
    torch.manual_seed(0)
    with torch.device(device):
        network = NETWORKS[type(spec)](spec)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
    if not isinstance(spec, ReverseSpec):
        for block in network.blocks:
            nn.init.normal_(block.proj_out.weight, std=1e-3)
    return network.eval().requires_grad_(False)


def n_stages(spec: ReverseSpec) -> int:
    """Return the number of stages, the denoising one included."""
    return spec.blocks + (spec.denoising == "learned")


def sampling_parameters(spec: ReverseSpec) -> int:
    """Count the parameters that sampling from a reverse model uses."""
    with torch.device("meta"):
        return ReverseModel(spec).n_sampling_parameters()


def matched_spec(spec: ReverseSpec, n_parameters: int, tolerance: float = 0.02) -> ReverseSpec:
    """Change the width of an architecture so that sampling uses a given number of parameters.

    arXiv:2512.10953 widens a model without learned denoising, which has a stage less, in this way. The number
    of attention heads stays, and the width per head is a multiple of 4, as rotary positions need. If no such
    width is within the tolerance, the hidden width of the MLPs is changed too.

    Args:
        spec: the architecture; its `mlp_width` is ignored.
        n_parameters: target of `ReverseModel.n_sampling_parameters`.
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
    per_hidden_unit = 3 * best.width * n_stages(spec) * spec.layers_per_stage
    hidden = default_hidden(best.width) + round(missing / per_hidden_unit)
    best = dataclasses.replace(best, mlp_width=max(1, hidden))
    found = sampling_parameters(best)
    if abs(found - n_parameters) > tolerance * n_parameters:
        raise ValueError(
            f"no width near {best.width} has {n_parameters} parameters within {tolerance:.0%}; found {found}"
        )
    return best
