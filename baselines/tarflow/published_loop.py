"""A plain restatement of the published inverse, as a baseline of speed; arXiv:2412.06329.

As in the published sampling code: keys and values are kept in lists that are joined anew at every token,
guidance is a second pass with lists of its own, and the noise is overwritten token by token.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.tarflow.cost import Count, inverse_flops
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.inverse import FlowInverse, Inverted
from baselines.tarflow.model import Block, Layer, TarFlow
from nfbench.runtime import autocast


def layer_step(layer: Layer, h: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
    """Send one token (B, 1, C) through a layer, its keys and values appended to the lists."""
    q, k, v = layer.attention.split(h)
    keys.append(k)
    values.append(v)
    k, v = torch.cat(keys, dim=2), torch.cat(values, dim=2)
    h = h + layer.attention.merge(F.scaled_dot_product_attention(q, k, v))
    return h + layer.mlp(h)


def block_step(block: Block, x: Tensor, i: int, y: Tensor | None, lists: list[tuple]) -> tuple[Tensor, ...]:
    """Return (a, m) of token i + 1, (B, 1, D) each."""
    h = block.proj_in(x[:, i : i + 1]) + block.order(block.pos_embed[None])[:, i : i + 1]
    h = h + block.condition(y)
    for layer, (keys, values) in zip(block.attn_blocks, lists, strict=True):
        h = layer_step(layer, h, keys, values)
    return block.split_outputs(block.proj_out(h), x)


def invert_block(block: Block, z: Tensor, y: Tensor | None, guidance: float) -> Tensor:
    """Invert one block, (B, T, D) in raster order."""
    x = block.order(z).clone()
    lists = [([], []) for _ in block.attn_blocks]
    lists_unconditional = [([], []) for _ in block.attn_blocks]
    for i in range(x.shape[1] - 1):
        a, m = block_step(block, x, i, y, lists)
        if guidance > 0:
            a_u, m_u = block_step(block, x, i, None, lists_unconditional)
            a, m = a + guidance * (a - a_u), m + guidance * (m - m_u)
        x[:, i + 1] = x[:, i + 1] * torch.exp(a[:, 0]) + m[:, 0]
    return block.order(x)


class PublishedLoop(FlowInverse):
    """The published loop as a sampler; guidance is the published default. Option: `precision`."""

    name = "published-loop"

    def __init__(self, flow: TarFlow, precision: str = "fp32"):
        super().__init__(flow, precision)

    def _prepare(self) -> None:
        self.network = self.flow  # whose weights autocast casts at every token, as published

    def flops_per_image(self, guidance: float = 0.0) -> int | None:
        return inverse_flops(self.flow.spec) * (2 if guidance else 1)

    def invert_block(
        self, index: int, z: Tensor, y: Tensor | None, guidance: Guidance, count: Count
    ) -> Inverted:
        with autocast(z.device, self.precision):
            tokens = invert_block(self.network.blocks[index], z, y, guidance.scale)
        passes = 2 if guidance.scale > 0 else 1
        for _ in range(z.shape[1] - 1):
            count.add(passes * len(z), 1)
        return Inverted(tokens)
