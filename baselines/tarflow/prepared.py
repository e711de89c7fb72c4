"""A flow block laid out for sampling: weights prepared once, its tensors in a workspace.

What `Block.predict` computes, in less than half the time: the affine part of each LayerNorm is folded into
the matrix after it, weights are cast and transposed once, nothing is concatenated, and both passes of
guidance are one batch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.tarflow.cost import Count
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.model import Block, Layer, TarFlow, class_condition
from baselines.tarflow.workspace import Sizes, Span, Workspace
from nfbench.runtime import compiled


def _folded(norm: nn.LayerNorm, linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return (weight (in, out), bias) of a linear map that does the affine part of the norm before it too."""
    return (linear.weight * norm.weight).T.contiguous(), linear.bias + linear.weight @ norm.bias


class PreparedLayer:
    """One transformer layer; the residual stream keeps its precision, matmuls run in `dtype`."""

    def __init__(self, layer: Layer, dtype: torch.dtype):
        attention, mlp = layer.attention, layer.mlp
        self.dtype, self.eps = dtype, attention.norm.eps
        qkv, qkv_bias = _folded(attention.norm, attention.qkv)
        up, up_bias = _folded(mlp.norm, mlp.main[0])
        # GELU(h) = u (1 + erf u) / sqrt 2 with u = h / sqrt 2. With these factors in the weights two plain
        # kernels are left; on a CPU GELU itself goes through oneDNN, which at a batch of one costs more.
        half = math.sqrt(0.5)
        weights = (
            *(qkv, qkv_bias, attention.proj.weight.T.contiguous(), attention.proj.bias),
            *(half * up, half * up_bias, half * mlp.main[2].weight.T.contiguous(), mlp.main[2].bias),
        )
        weights = [weight.detach().to(dtype, copy=True) for weight in weights]
        self.qkv, self.qkv_bias, self.proj, self.proj_bias = weights[:4]
        self.up, self.up_bias, self.down, self.down_bias = weights[4:]
        self.shape = self.proj_bias.shape
        self.scale = (len(self.proj) // attention.heads) ** -0.5
        self._compiled: tuple[Callable[..., None], ...] = ()

    def norm(self, h: Tensor) -> Tensor:
        normed = F.layer_norm(h, self.shape, eps=self.eps)
        return normed if normed.dtype == self.dtype else normed.to(self.dtype)

    def _project(self, h: Tensor, qkv: Tensor) -> None:
        torch.addmm(self.qkv_bias, self.norm(h), self.qkv, out=qkv)

    def _finish(self, h: Tensor, attended: Tensor) -> None:
        h.add_(torch.addmm(self.proj_bias, attended, self.proj))
        u = torch.addmm(self.up_bias, self.norm(h), self.up)
        h.add_(torch.addmm(self.down_bias, torch.addcmul(u, u, torch.erf(u)), self.down))

    def compile(self, backend: str = "inductor") -> None:
        """Compile what a single token passes before and after attention, whose number of keys changes."""
        self._compiled = compiled(self._project, backend), compiled(self._finish, backend)

    def add_to(self, h: Tensor, step: Span, index: int, inverse_temperature: float) -> None:
        """Add the layer's output to h, (P B n, C), and its keys and values to the cache.

        Args:
            index: of this layer in its block.
            inverse_temperature: factor on the queries of the second, unconditional pass.
        """
        buffers = step.buffers
        project, finish = (step.is_single and self._compiled) or (self._project, self._finish)
        project(h, buffers.qkv)
        step.store(index)
        if inverse_temperature != 1:
            buffers.q_unconditional.mul_(inverse_temperature)
        k, v = step.seen[index]
        attended = F.scaled_dot_product_attention(buffers.q, k, v, attn_mask=step.mask, scale=self.scale)
        if attended.shape[2] > 1:
            attended = attended.transpose(1, 2)
        finish(h, attended.reshape(h.shape))


class PreparedBlock:
    """A flow block with a copy of its weights; prepare it again after they change.

    Args:
        dtype: of the matmuls; by default the weights' own. Log-scales, shifts and the residual stream
            keep the weights' precision.
    """

    def __init__(self, block: Block, dtype: torch.dtype | None = None):
        weight = block.proj_in.weight
        self.dtype, self.device = dtype or weight.dtype, weight.device
        self.order, self.clip = block.order, block.clip
        self.layers = [PreparedLayer(layer, self.dtype) for layer in block.attn_blocks]
        self.embed = weight.T.clone(memory_format=torch.contiguous_format)
        self.position = block.order(block.pos_embed[None])[0] + block.proj_in.bias
        self.out = block.proj_out.weight.T.clone(memory_format=torch.contiguous_format)
        self.out_bias = block.proj_out.bias.clone()
        self.class_embed = None if block.class_embed is None else block.class_embed.clone()
        heads = block.attn_blocks[0].attention.heads
        (n_tokens, width), (token_dim, _) = self.position.shape, self.embed.shape
        self.sizes = Sizes(len(self.layers), heads, width // heads, n_tokens, token_dim, len(self.out_bias))

    def conditions(self, y: Tensor | None, passes: int) -> Tensor:
        """Return what each pass adds to every token: the label, then no label, (P, B or 1, 1, C)."""
        if self.class_embed is None:  # an unconditional flow adds nothing
            return self.position.new_zeros(passes, 1, 1, self.position.shape[1])
        label = class_condition(self.class_embed, y)
        if passes == 1:
            return label[None]
        return torch.stack([label, class_condition(self.class_embed, None).expand_as(label)])

    def evaluate(self, x: Tensor, step: Span, conditions: Tensor, inverse_temperature: float) -> None:
        """Fill the step's outputs and the cache.

        Args:
            x: the step's tokens in the block's own order, (B, n, D).
            conditions: see `conditions`.
            inverse_temperature: 1 / temperature of the second pass's attention.
        """
        h = (conditions + step.of(self.position)) + x @ self.embed
        h = h.view(-1, h.shape[-1])
        for index, layer in enumerate(self.layers):
            layer.add_to(h, step, index, inverse_temperature)
        outputs = torch.addmm(self.out_bias, h, self.out, out=step.buffers.outputs)
        if self.clip is not None:
            outputs.clamp_(-self.clip, self.clip)


@dataclass(frozen=True)
class Network:
    """A prepared block in one sampling call: guided, counted, with a workspace.

    Attributes:
        conditions: as of `PreparedBlock.conditions`.
        guidance_weights: 1 + g of the token after each token, (T, 1); None without guidance.
    """

    block: PreparedBlock
    workspace: Workspace
    guidance: Guidance
    conditions: Tensor
    guidance_weights: Tensor | None
    count: Count

    def predict(self, x: Tensor, step: Span) -> tuple[Tensor | None, Tensor]:
        """Return (a, m) of the token after each of the step's, guided, (B, n, D) each; a None for zero.

        They are views of the workspace, valid until the next step. The cache must hold the keys and values
        of all tokens before the step's, and holds theirs afterwards.

        Args:
            x: the step's tokens in the block's own order, (B, n, D).
        """
        passes = len(self.conditions)
        self.count.add(passes * len(x), x.shape[1])
        inverse_temperature = 1 / self.guidance.attention_temperature if passes == 2 else 1.0
        self.block.evaluate(x, step, self.conditions, inverse_temperature)
        buffers = step.buffers
        if self.guidance_weights is not None:
            buffers.guide(self.guidance, step.of(self.guidance_weights))
        return buffers.a, buffers.m

    def keep(self, images: Tensor) -> "Network":
        """Return the network for some of the images, by index (b,), with a copy of their cache."""
        shared = self.conditions.shape[1] == 1
        conditions = self.conditions if shared else self.conditions[:, images]
        return replace(self, conditions=conditions, workspace=self.workspace.keep(images))


class PreparedFlow:
    """A flow's blocks, prepared, and workspaces for the batch sizes met last."""

    KEPT = 4  # workspaces; each holds keys and values of a whole block

    def __init__(self, flow: TarFlow, dtype: torch.dtype | None = None):
        with torch.no_grad():
            self.blocks = [PreparedBlock(block, dtype) for block in flow.blocks]
        self._workspaces: dict[tuple[int, int], Workspace] = {}

    def compile(self, backend: str = "inductor") -> None:
        """Compile a single token's step through every layer; as layers are alike, the compiler works once."""
        for block in self.blocks:
            for layer in block.layers:
                layer.compile(backend)

    def workspace(self, passes: int, batch: int) -> Workspace:
        """Return room for a batch; the same one again for the same sizes, whatever it holds."""
        key = (passes, batch)
        if key not in self._workspaces:
            if len(self._workspaces) >= self.KEPT:
                self._workspaces.pop(next(iter(self._workspaces)))
            block = self.blocks[0]
            self._workspaces[key] = Workspace(
                block.sizes, passes, batch, block.dtype, block.out.dtype, block.device
            )
        return self._workspaces[key]

    def network(self, index: int, y: Tensor | None, guidance: Guidance, batch: int, count: Count) -> Network:
        """Return block `index` ready to invert a batch of images of classes y, (B,) or None."""
        block = self.blocks[index]
        passes = 2 if guidance.scale > 0 else 1
        conditions = block.conditions(y, passes)
        guidance_weights = guidance.guidance_weights(block.sizes.n_tokens, block.position)
        return Network(block, self.workspace(passes, batch), guidance, conditions, guidance_weights, count)
