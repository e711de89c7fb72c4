"""Layers of a modern bidirectional vision transformer.

BiFlow's network is a ViT "with modern components" (arXiv:2512.10953), which are not listed. Ours are:

- RMSNorm (arXiv:1910.07467) before every sub-layer (pre-norm, arXiv:2002.04745);
- SwiGLU MLPs (arXiv:2002.05202);
- rotary positions (arXiv:2104.09864), half of each head's pairs over rows and half over columns (axial,
  arXiv:2403.13298);
- queries and keys normalised in every head before the rotation (arXiv:2010.04245), by RMSNorm with a
  learned gain rather than LayerNorm (arXiv:2302.05442);
- no biases inside the layers (arXiv:2204.02311);
- a last map of every residual branch that starts at zero (arXiv:1901.09321), so that a new layer is the
  identity.

For the conditioning on the class see `biflow.model.Stage`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nfbench.runtime import attend, in_full_precision


def rotary_angles(side: int, head_dim: int, base: float = 100.0) -> Tensor:
    """Return the rotation angles of a square grid of tokens in raster order, (side^2, head_dim / 2).

    The first half of the angles grows with the row, the second with the column. The base is that of the
    code of arXiv:2403.13298, for grids with tens of tokens per side.
    """
    if head_dim % 4:
        raise ValueError(f"head_dim {head_dim} must be divisible by 4 for rotary rows and columns")
    frequencies = base ** -(torch.arange(head_dim // 4) / (head_dim // 4))
    rows = torch.arange(side).repeat_interleave(side)
    columns = torch.arange(side).repeat(side)
    return torch.cat([torch.outer(rows, frequencies), torch.outer(columns, frequencies)], dim=1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (x_i, x_{i + d/2}) of each token by its angles, (..., T, d) to (..., T, d)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Attention(nn.Module):
    """Self-attention in which every token sees every other."""

    def __init__(self, width: int, head_dim: int):
        super().__init__()
        self.heads = width // head_dim
        self.norm = nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.RMSNorm(head_dim)
        self.key_norm = nn.RMSNorm(head_dim)
        self.proj = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.proj.weight)

    def forward(self, h: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C); `cos` and `sin` of the rotary angles, (T, head_dim / 2)."""
        batch, tokens, _ = h.shape
        qkv = self.qkv(self.norm(h)).view(batch, tokens, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        # In mixed precision they are bfloat16, for which RMSNorm has no fused kernel and another epsilon.
        dtype = self.query_norm.weight.dtype
        q = rotate(self.query_norm(q.to(dtype)), cos, sin)
        k = rotate(self.key_norm(k.to(dtype)), cos, sin)
        return self.proj(attend(q, k, v).transpose(1, 2).flatten(2))


def default_hidden(width: int) -> int:
    """Return the hidden width of a gated MLP: 8/3 of the model's, in multiples of 8."""
    return 8 * round(width / 3)


class SwiGLU(nn.Module):
    """Gated MLP; by default with as many weights as a plain MLP with hidden width 4 C."""

    def __init__(self, width: int, hidden: int | None = None):
        super().__init__()
        hidden = hidden or default_hidden(width)
        self.norm = nn.RMSNorm(width)
        self.gate_and_value = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, h: Tensor) -> Tensor:
        gate, value = self.gate_and_value(self.norm(h)).chunk(2, dim=-1)
        return self.out(F.silu(gate) * value)


class Layer(nn.Module):
    """One transformer layer."""

    def __init__(self, width: int, head_dim: int, mlp_width: int | None = None):
        super().__init__()
        self.attention = Attention(width, head_dim)
        self.mlp = SwiGLU(width, mlp_width)

    def forward(self, h: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        h = h + self.attention(h, cos, sin)
        return h + self.mlp(h)


class Head(nn.Module):
    """Projects the hidden state of every token to data space: RMSNorm, then a linear map.

    The map starts at zero, so that a new model predicts a constant. A head of a bottleneck must not
    (`from_zero` false), or nothing would pass through it.
    """

    def __init__(self, width: int, token_dim: int, from_zero: bool = True):
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.linear = nn.Linear(width, token_dim)
        if from_zero:
            nn.init.zeros_(self.linear.weight)

    def forward(self, h: Tensor) -> Tensor:
        """(B, T, C) to (B, T, D), in full precision also where the layers are not."""
        return in_full_precision(self.linear, self.norm(h))


class ScaleEmbedding(nn.Module):
    """Embedding of the guidance scale w in [0, w_max]: a linear map of sin(pi k w / 2 w_max), k = 1..8.

    Sums of these sines approximate any smooth function of w, so no hidden layer is needed. All vanish at
    w = 0 and there is no bias: without an offset, w = 0 adds exactly nothing, and a guided model at w = 0
    is the plain one. The map starts at zero.

    Args:
        offset: whether to add a learned constant. An embedding that is a token needs it: at a token of
            zeros, the gradient of RMSNorm would be about a thousand times too large.
    """

    FREQUENCIES = 8

    def __init__(self, width: int, w_max: float, offset: bool = False):
        super().__init__()
        self.linear = nn.Linear(self.FREQUENCIES, width, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.offset = nn.Parameter(torch.randn(width) * 0.02) if offset else None
        frequencies = 0.5 * math.pi / w_max * torch.arange(1, self.FREQUENCIES + 1)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, w: Tensor) -> Tensor:
        """(B,) to (B, C)."""
        embedded = self.linear(torch.sin(w[:, None] * self.frequencies))
        return embedded if self.offset is None else embedded + self.offset
