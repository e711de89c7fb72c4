"""Jacobi iteration: every block solved as one fixed-point problem, all tokens at once."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from baselines.tarflow.counting import Count
from baselines.tarflow.fixed_point import FixedPoint, solve_modules
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.inverse import Inverted, PreparedInverse
from baselines.tarflow.model import TarFlow
from baselines.tarflow.prepared import Network

# The published code of GS-Jacobi sweeps until the Frobenius norm of the batch's change is under 1e-6 B D,
# which loosens as the batch grows. For one image the largest change is then under 1e-6 D.
PUBLISHED_TOLERANCE_PER_VALUE = 1e-6


def published_tolerance(flow: TarFlow) -> float:
    """Return the threshold on the largest change that the published rule comes to for one image."""
    return PUBLISHED_TOLERANCE_PER_VALUE * flow.spec.token_dim


def invert_by_modules(net: Network, z: Tensor, modules: int, options: FixedPoint) -> Inverted:
    """Invert one block by `solve_modules`, tokens in raster order on both sides."""
    x, sweeps = solve_modules(net, net.block.order(z), modules, options)
    return Inverted(net.block.order(x), sweeps.sum(dim=0))


class Jacobi(PreparedInverse):
    """Jacobi inverse of a TARFlow.

    Options: those of `FixedPoint`, tolerance being `published_tolerance` by default, and those of `Guidance`.
    """

    name = "jacobi"

    def __init__(
        self,
        flow: TarFlow,
        tolerance: float | None = None,
        max_iterations: int | None = None,
        init: str = "z",
        clamp: float | None = None,
        batch_wide: bool = False,
        check_every: int | None = None,
        **guidance_options: Any,
    ):
        super().__init__(flow, **guidance_options)
        tolerance = published_tolerance(flow) if tolerance is None else tolerance
        self.options = FixedPoint(tolerance, max_iterations, init, clamp, batch_wide, check_every=check_every)

    @property
    def settings(self) -> dict[str, Any]:
        return super().settings | asdict(self.options)

    def invert_block(
        self, index: int, z: Tensor, y: Tensor | None, guidance: Guidance, count: Count
    ) -> Inverted:
        net = self.prepared.network(index, y, guidance, len(z), count)
        return invert_by_modules(net, z, 1, self.options)


def sweep_per_token(inverted: Inverted) -> Inverted:
    """Count a block that was solved token by token as one sweep a token, T - 1 of them."""
    batch, n_tokens, _ = inverted.tokens.shape
    sweeps = torch.full((batch,), n_tokens - 1, device=inverted.tokens.device)
    return Inverted(inverted.tokens, sweeps)
