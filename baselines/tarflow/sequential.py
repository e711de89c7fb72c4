"""The exact inverse, one token at a time, with a growing cache: as published (arXiv:2412.06329)."""

import torch
from torch import Tensor

from baselines.tarflow.cost import Count, CountedBlock, inverse_flops
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.inverse import FlowInverse, Inverted
from nfbench.runtime import autocast


def invert_block(block: CountedBlock, z: Tensor, y: Tensor | None, guidance: Guidance) -> Tensor:
    """Invert one block: x_{i+1} = z_{i+1} exp(a_i) + m_i, i = 0..T-2, starting from x_0 = z_0.

    Args:
        block: the block, in whose own order the tokens are solved.
        z: the block's output in raster order, (B, T, D); not changed.
        y: class ids (B,), or None.

    Returns:
        The block's input in raster order, (B, T, D).
    """
    z = block.order(z)
    n_tokens = z.shape[1]
    solved = [z[:, :1]]
    past, past_unconditional = None, None
    for i in range(n_tokens - 1):
        a, m, past = block.predict(solved[-1], y, past)
        if guidance.scale > 0:
            a_u, m_u, past_unconditional = block.predict(
                solved[-1], None, past_unconditional, guidance.attention_temperature
            )
            a, m = guidance.combine((a, m), (a_u, m_u), guidance.at(i + 1, n_tokens))
        solved.append(z[:, i + 1 : i + 2] * torch.exp(a) + m)
    return block.order(torch.cat(solved, dim=1))


class Sequential(FlowInverse):
    """Exact inverse of a TARFlow: K (T - 1) serial token steps. Options: those of `FlowInverse`."""

    name = "sequential"

    def flops_per_image(self, guidance: float = 0.0) -> int | None:
        return inverse_flops(self.flow.spec) * (2 if guidance else 1)

    def invert_block(
        self, index: int, z: Tensor, y: Tensor | None, guidance: Guidance, count: Count
    ) -> Inverted:
        block = CountedBlock(self.network.blocks[index], count)
        with autocast(z.device, self.precision):
            return Inverted(invert_block(block, z, y, guidance))
