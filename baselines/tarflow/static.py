"""The fast exact inverse: one token at a time, nothing concatenated or cast, both passes of guidance at once.

On a GPU all T - 1 steps of a block, each some tens of small kernels, are captured once as one CUDA graph.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from baselines.tarflow.cost import Count, inverse_flops
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.inverse import Inverted, PreparedInverse
from baselines.tarflow.model import TarFlow
from baselines.tarflow.prepared import Network
from nfbench.runtime import CudaGraphs

GRAPHS_KEPT = 64  # one a block, batch size and guidance; those of a batch size share their workspace


def affine(z: Tensor, a: Tensor | None, m: Tensor, out: Tensor | None = None) -> Tensor:
    """Return z exp(a) + m; a is None for zero."""
    return torch.add(z, m, out=out) if a is None else torch.addcmul(m, z, torch.exp(a), out=out)


def solve_tokens(net: Network, z: Tensor) -> Tensor:
    """Invert one block token by token: x_{i+1} = z_{i+1} exp(a_i) + m_i, i = 0..T-2.

    Args:
        net: evaluates the block; on a GPU it may be captured, as nothing here waits or depends on values.
        z: the block's output in its own order, (B, T, D); not changed.

    Returns:
        The block's input in its own order, (B, T, D).
    """
    z = z.transpose(0, 1).contiguous()[:, :, None]
    x = torch.empty_like(z)
    x[0] = z[0]
    noise, tokens = z.unbind(0), x.unbind(0)
    for i, step in enumerate(net.workspace.tokens[:-1]):
        a, m = net.predict(tokens[i], step)
        affine(noise[i + 1], a, m, tokens[i + 1])
    return x[:, :, 0].transpose(0, 1)


class SequentialStatic(PreparedInverse):
    """Exact inverse of a TARFlow, one token at a time.

    Options: those of `PreparedInverse`, and `compile`: whether what a token's step does beside attention is
    fused by torch.compile; its warm-up takes about a minute.
    """

    name = "sequential-static"

    def __init__(self, flow: TarFlow, compile: bool = False, **options: Any):
        self.compile = compile
        self._graphs = CudaGraphs(GRAPHS_KEPT)
        super().__init__(flow, **options)

    def _prepare(self) -> None:
        super()._prepare()
        self._graphs.clear()  # they read the weights where they were
        if self.compile:
            self.prepared.compile()

    @property
    def settings(self) -> dict[str, Any]:
        return super().settings | ({"compile": True} if self.compile else {})

    def flops_per_image(self, guidance: float = 0.0) -> int | None:
        return inverse_flops(self.flow.spec) * (2 if guidance else 1)

    def invert_block(
        self, index: int, z: Tensor, y: Tensor | None, guidance: Guidance, count: Count
    ) -> Inverted:
        net = self.prepared.network(index, y, guidance, len(z), count)
        z = net.block.order(z)
        return Inverted(net.block.order(self._replayed(index, net, z) if z.is_cuda else solve_tokens(net, z)))

    def _replayed(self, index: int, net: Network, z: Tensor) -> Tensor:
        """Solve the tokens by a graph, captured at the first call with a batch size and guidance."""

        def solve(z: Tensor, conditions: Tensor) -> Tensor:  # the count would count the capture
            return solve_tokens(replace(net, conditions=conditions, count=Count()), z)

        net.count.add(len(net.conditions) * len(z) * (z.shape[1] - 1), 1)
        key = (index, z.shape, net.conditions.shape, net.guidance)
        return self._graphs.replay(key, solve, [z, net.conditions])
