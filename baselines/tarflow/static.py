"""The fast exact inverse: one token at a time, nothing concatenated or cast, both passes of guidance at once.

On a GPU a token's step, some hundred small kernels, is captured once as a CUDA graph and replayed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor

from baselines.tarflow.cost import Count, inverse_flops
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.inverse import Inverted, PreparedInverse
from baselines.tarflow.model import TarFlow
from baselines.tarflow.prepared import Network

GRAPHS_KEPT = 64  # one a block, batch size and guidance; those of a batch size share their workspace


def affine(z: Tensor, a: Tensor | None, m: Tensor, out: Tensor | None = None) -> Tensor:
    """Return z exp(a) + m; a is None for zero."""
    return torch.add(z, m, out=out) if a is None else torch.addcmul(m, z, torch.exp(a), out=out)


def solve_tokens(net: Network, z: Tensor) -> Tensor:
    """Invert one block token by token: x_{i+1} = z_{i+1} exp(a_i) + m_i, i = 0..T-2.

    Args:
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


class CapturedTokenStep:
    """`solve_tokens` for one block, batch size and guidance, the token's step captured as a CUDA graph.

    The token's place is a tensor on the device, so that one graph serves all of them; what differs from
    call to call (noise, labels) is copied into the tensors that the graph reads.

    Args:
        capture: False makes the same step without a graph, on any device.
    """

    def __init__(self, net: Network, batch: int, capture: bool = True):
        sizes, table = net.block.sizes, net.block.position
        conditions = net.conditions.expand(-1, batch, -1, -1).clone()
        # The count inside a graph would count its capture; `__call__` counts the replays.
        self.net = replace(net, conditions=conditions, count=Count())
        self.row = net.workspace.device_row()
        self.z = table.new_zeros(sizes.n_tokens, batch, 1, sizes.token_dim)
        self.x = torch.zeros_like(self.z)
        self._replay: Callable[[], None] = self._capture() if capture else self._step

    def _step(self) -> None:
        index = self.row.index
        a, m = self.net.predict(self.x.index_select(0, index)[0], self.row)
        index.add_(1)
        self.x.index_copy_(0, index, affine(self.z.index_select(0, index)[0], a, m)[None])

    def _capture(self) -> Callable[[], None]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # libraries set themselves up on first use, which a capture forbids
                self.row.index.zero_()
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        self.row.index.zero_()
        with torch.cuda.graph(self.graph):
            self._step()
        return self.graph.replay

    def __call__(self, z: Tensor, conditions: Tensor, count: Count) -> Tensor:
        """Invert a batch; see `solve_tokens`.

        Args:
            z: the block's output in its own order, (B, T, D).
            conditions: of this batch's labels, see `PreparedBlock.conditions`.
        """
        self.net.conditions.copy_(conditions)
        self.net.workspace.cache.zero_()  # a masked value that is not finite would spoil what follows
        self.z[:, :, 0].copy_(z.transpose(0, 1))
        self.x[0] = self.z[0]
        self.row.index.zero_()
        for _ in range(len(self.z) - 1):
            self._replay()
            count.add(len(conditions) * len(z), 1)
        return self.x[:, :, 0].transpose(0, 1).clone()


class SequentialStatic(PreparedInverse):
    """Exact inverse of a TARFlow, one token at a time. Options: those of `PreparedInverse`."""

    name = "sequential-static"

    def __init__(self, flow: TarFlow, **guidance_options: Any):
        super().__init__(flow, **guidance_options)
        self._captured: dict[tuple, CapturedTokenStep] = {}

    def flops_per_image(self, guidance: float = 0.0) -> int | None:
        return inverse_flops(self.flow.spec) * (2 if guidance else 1)

    def to(self, device: torch.device) -> Self:
        self._captured.clear()  # they read the weights where they were
        return super().to(device)

    def invert_block(
        self, index: int, z: Tensor, y: Tensor | None, guidance: Guidance, count: Count
    ) -> Inverted:
        net = self.prepared.network(index, y, guidance, len(z), count)
        z = net.block.order(z)
        return Inverted(net.block.order(self._replayed(index, net, z) if z.is_cuda else solve_tokens(net, z)))

    def _replayed(self, index: int, net: Network, z: Tensor) -> Tensor:
        key = (index, len(z), net.guidance)
        if key not in self._captured:
            if len(self._captured) >= GRAPHS_KEPT:
                self._captured.pop(next(iter(self._captured)))
            self._captured[key] = CapturedTokenStep(net, len(z))
        return self._captured[key](z, net.conditions, net.count)
