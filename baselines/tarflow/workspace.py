"""The memory of prepared blocks: keys, values and what a step computes, allocated once with all views.

At a batch of one a token's step is some thirty kernels of a few microseconds each, and making a view costs
half a kernel; so a step's views are made once and kept.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from baselines.tarflow.guidance import Guidance


@dataclass(frozen=True)
class Sizes:
    """What a workspace's tensors depend on; `outputs` is 2 D, or D where volume is preserved."""

    layers: int
    heads: int
    head_dim: int
    n_tokens: int
    token_dim: int
    outputs: int

    @property
    def width(self) -> int:
        return self.heads * self.head_dim


class StepBuffers:
    """What a step computes for n tokens of every image and pass (1, or 2 with guidance).

    Attributes:
        qkv: (P B n, 3 C), filled by each layer in turn; q (P B, heads, n, d) and the new keys and values
            (2, P B, heads, n, d) are views of it, `q_unconditional` that of the second pass.
        outputs: (P B n, 2 D or D), filled by the output layer.
        a, m: guided log-scale and shift, (B, n, D), valid after `guide`; a is None for zero.
    """

    def __init__(self, sizes: Sizes, passes: int, batch: int, n: int, options: Any, out_options: Any):
        images = passes * batch
        self.qkv = torch.empty(images * n, 3 * sizes.width, **options)
        parts = self.qkv.view(images, n, 3, sizes.heads, sizes.head_dim)
        self.q = parts[:, :, 0].transpose(1, 2)
        self.q_unconditional = self.q[batch:]
        self.new = parts[:, :, 1:].permute(2, 0, 3, 1, 4)
        self.outputs = torch.empty(images * n, sizes.outputs, **out_options)
        by_pass = self.outputs.view(passes, batch, n, sizes.outputs)
        self._passes = by_pass.unbind(0)
        self._guided = by_pass[0] if passes == 1 else torch.empty_like(by_pass[0])
        self._token_dim = sizes.token_dim
        self.m = self._guided[..., -sizes.token_dim :]
        self.a = self._guided[..., : -sizes.token_dim] if sizes.outputs > sizes.token_dim else None

    def guide(self, guidance: Guidance, guidance_weights: Tensor | None) -> None:
        """Move what is guided away from the unconditional pass, by 1 + g of every token, (n, 1)."""
        if guidance_weights is None:
            return
        conditional, unconditional = self._passes
        if guidance.guide == "ab":
            torch.lerp(unconditional, conditional, guidance_weights, out=self._guided)
            return
        self._guided.copy_(conditional)
        part = slice(None, -self._token_dim) if guidance.guide == "a" else slice(-self._token_dim, None)
        self._guided[..., part] = torch.lerp(
            unconditional[..., part], conditional[..., part], guidance_weights
        )


class Span:
    """Consecutive tokens, start <= t < stop, evaluated together; each sees itself and all before it.

    Attributes:
        seen: keys and values that any of them sees, a pair of (P B, heads, stop, d) for each layer.
    """

    def __init__(self, start: int, stop: int, cache: Tensor, causal: Tensor, buffers: StepBuffers):
        self.start, self.stop, self.buffers = start, stop, buffers
        # A single token sees every key there is; `is_causal` would align several with the first keys.
        self.is_single = stop - start == 1
        self.mask = None if self.is_single else causal[start:stop, :stop]
        self.seen = [tuple(layer[:, :, :, :stop].unbind(0)) for layer in cache]
        self._places = [layer[:, :, :, start:stop] for layer in cache]

    def of(self, table: Tensor) -> Tensor:
        """Take these tokens' rows of a table (T, ...)."""
        return table[self.start : self.stop]

    def store(self, layer: int) -> None:
        """Put the layer's new keys and values into its cache."""
        self._places[layer].copy_(self.buffers.new)


class Workspace:
    """Keys and values of one block at a time, and buffers, for a batch of images.

    Args:
        passes: 2 with guidance, else 1.
        dtype: of keys, values and matmuls.
        out_dtype: of the output layer.
        cache: keys and values to start from; zeros by default, since attention multiplies the values of
            masked keys by 0, and 0 times NaN is NaN.
    """

    def __init__(
        self,
        sizes: Sizes,
        passes: int,
        batch: int,
        dtype: torch.dtype,
        out_dtype: torch.dtype,
        device: torch.device,
        cache: Tensor | None = None,
    ):
        self.sizes, self.passes, self.batch = sizes, passes, batch
        self._options = {"dtype": dtype, "device": device}
        self._out_options = {"dtype": out_dtype, "device": device}
        shape = (sizes.layers, 2, passes * batch, sizes.heads, sizes.n_tokens, sizes.head_dim)
        self.cache = torch.zeros(shape, **self._options) if cache is None else cache
        self._causal = torch.ones(sizes.n_tokens, sizes.n_tokens, dtype=torch.bool, device=device).tril()

    def _buffers(self, n: int) -> StepBuffers:
        return StepBuffers(self.sizes, self.passes, self.batch, n, self._options, self._out_options)

    def span(self, start: int, stop: int) -> Span:
        """Return the tokens start <= t < stop as one step."""
        return Span(start, stop, self.cache, self._causal, self._buffers(stop - start))

    @cached_property
    def tokens(self) -> list[Span]:
        """Every token as a step of its own; they share their buffers."""
        buffers = self._buffers(1)
        return [Span(i, i + 1, self.cache, self._causal, buffers) for i in range(self.sizes.n_tokens)]

    def keep(self, images: Tensor) -> "Workspace":
        """Return a workspace for some of the images, by index (b,), with a copy of their cache."""
        by_pass = self.cache.unflatten(2, (self.passes, self.batch))
        cache = by_pass[:, :, :, images].flatten(2, 3)
        return Workspace(
            self.sizes,
            self.passes,
            len(images),
            cache.dtype,
            self._out_options["dtype"],
            cache.device,
            cache,
        )
