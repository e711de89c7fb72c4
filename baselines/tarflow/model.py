"""TARFlow, the forward flow (arXiv:2412.06329, section 2): data to noise in one pass, causally.

Submodules carry the names of the published checkpoints, so that a published state dict loads as it is.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nfbench.data.tokens import images_to_tokens, tokens_to_images
from nfbench.runtime import attend, in_full_precision


@dataclass(frozen=True)
class TarFlowSpec:
    """Architecture of a TARFlow, and the noise its training images carried.

    Attributes:
        channels, image_size: of the images; square, `image_size` in pixels.
        patch_size: side of a patch in pixels; one patch is one token.
        width: C, the model width; `head_dim` must divide it.
        n_classes: None for an unconditional flow.
        clip: bound on |a| and |m| (norm control, arXiv:2512.10953); None for none.
        volume_preserving: shift only, no scale ("nvp = False" in the published code).
        sigma: standard deviation of the Gaussian noise that the modelled density includes.
    """

    channels: int
    image_size: int
    patch_size: int
    width: int
    blocks: int
    layers_per_block: int
    head_dim: int = 64
    n_classes: int | None = None
    clip: float | None = None
    volume_preserving: bool = False
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} does not divide image_size {self.image_size}")
        if self.width % self.head_dim:
            raise ValueError(f"head_dim {self.head_dim} does not divide width {self.width}")

    @property
    def n_tokens(self) -> int:
        """T, the number of patches."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def token_dim(self) -> int:
        """D, the number of values in a patch."""
        return self.channels * self.patch_size**2


@dataclass(frozen=True)
class Code:
    """A batch of images encoded by the forward flow.

    Attributes:
        z: noise, (B, T, D).
        states: x_1..x_K, the tokens after each block in raster order; the last one is `z`.
        logdet: log|det dz/dx| per image in nats, averaged over T*D, summed over blocks, (B,).
    """

    z: Tensor
    states: list[Tensor]
    logdet: Tensor


KeysValues = tuple[Tensor, Tensor]


class Attention(nn.Module):
    """Pre-norm causal self-attention; rows of `qkv` are [all q | all k | all v], head-major."""

    def __init__(self, width: int, head_dim: int):
        super().__init__()
        self.heads = width // head_dim
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def split(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k, v of the normalised tokens, each (B, heads, tokens, head_dim)."""
        batch, tokens, _ = h.shape
        qkv = self.qkv(self.norm(h)).view(batch, tokens, 3, self.heads, -1)
        return qkv.permute(2, 0, 3, 1, 4).unbind(0)

    def merge(self, attended: Tensor) -> Tensor:
        """Join the heads and project: (B, heads, tokens, head_dim) to (B, tokens, C)."""
        return self.proj(attended.transpose(1, 2).flatten(2))

    def forward(
        self, h: Tensor, past: KeysValues | None = None, temperature: float = 1.0
    ) -> tuple[Tensor, KeysValues]:
        """Attend to self and to earlier tokens.

        Args:
            h: tokens, (B, n, C).
            past: keys and values of the tokens before them; with it, `h` is the one next token.
            temperature: divides the logits.
        """
        q, k, v = self.split(h)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        scale = q.shape[-1] ** -0.5 / temperature
        if past is None:
            return self.merge(attend(q, k, v, is_causal=True, scale=scale)), (k, v)
        # A single query may see every key, and `is_causal` would align it with the first of them.
        return self.merge(F.scaled_dot_product_attention(q, k, v, scale=scale)), (k, v)


class MLP(nn.Module):
    """Pre-norm two-layer perceptron, 4x wide, exact GELU."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.main = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor) -> Tensor:
        return self.main(self.norm(h))


class Layer(nn.Module):
    """One transformer layer of a flow block."""

    def __init__(self, width: int, head_dim: int):
        super().__init__()
        self.attention = Attention(width, head_dim)
        self.mlp = MLP(width)

    def forward(
        self, h: Tensor, past: KeysValues | None = None, temperature: float = 1.0
    ) -> tuple[Tensor, KeysValues]:
        attended, cache = self.attention(h, past, temperature)
        h = h + attended
        return h + self.mlp(h), cache


def class_condition(class_embed: Tensor, y: Tensor | None) -> Tensor:
    """Return the embeddings (n, 1, C) of classes y, (B, 1, C), or their mean for y = -1 and None."""
    mean = class_embed.mean(dim=0, keepdim=True)
    if y is None:
        return mean
    return torch.where((y < 0)[:, None, None], mean, class_embed[y.clamp(min=0)])


class Block(nn.Module):
    """One flow block: shift and scale each token by amounts read off the tokens before it.

    z_t = (u_t - m_t) exp(-a_t) with (a_t, m_t) a function of u_{<t}; arXiv:2412.06329, eq. 4. Every
    other block reads the tokens in reverse order.
    """

    def __init__(self, spec: TarFlowSpec, reverse: bool):
        super().__init__()
        self.reverse = reverse
        self.clip = spec.clip
        self.proj_in = nn.Linear(spec.token_dim, spec.width)
        self.pos_embed = nn.Parameter(torch.randn(spec.n_tokens, spec.width) * 0.01)
        if spec.n_classes is None:
            self.class_embed = None
        else:
            self.class_embed = nn.Parameter(torch.randn(spec.n_classes, 1, spec.width) * 0.01)
        self.attn_blocks = nn.ModuleList(
            Layer(spec.width, spec.head_dim) for _ in range(spec.layers_per_block)
        )
        outputs = spec.token_dim * (1 if spec.volume_preserving else 2)
        self.proj_out = nn.Linear(spec.width, outputs)
        nn.init.zeros_(self.proj_out.weight)

    def order(self, u: Tensor) -> Tensor:
        """Go from raster order to the block's own order, or back: (B, T, D) to the same."""
        return u.flip(1) if self.reverse else u

    def condition(self, y: Tensor | None) -> Tensor | float:
        """Return e(y), (B or 1, 1, C): the class embedding, or the mean over classes for y = -1 or None."""
        return 0.0 if self.class_embed is None else class_condition(self.class_embed, y)

    def predict(
        self,
        x: Tensor,
        y: Tensor | None,
        past: list[KeysValues] | None = None,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, list[KeysValues]]:
        """Predict the log-scale and shift of the *next* token from each given token and those before.

        In mixed precision the matmuls inside the layers run in bfloat16. The residual stream and the maps
        into and out of it do not, since exp(-a) and the log-determinant would show their rounding.

        Args:
            x: tokens in the block's own order, (B, n, D); with `past`, the one next token.
            y: class ids (B,), -1 for no class; None for none at all.
            past: keys and values of the earlier tokens, one pair a layer.
            temperature: divides the attention logits.

        Returns:
            a, m: (B, n, D), already clipped; row i belongs to token i + 1.
            cache: keys and values of the earlier and the given tokens, one pair a layer.
        """
        start = 0 if past is None else past[0][0].shape[2]
        position = self.order(self.pos_embed[None])[:, start : start + x.shape[1]]
        h = in_full_precision(self.proj_in, x) + position + self.condition(y)
        cache = []
        for index, layer in enumerate(self.attn_blocks):
            h, keys_values = layer(h, None if past is None else past[index], temperature)
            cache.append(keys_values)
        return *self.split_outputs(in_full_precision(self.proj_out, h), x), cache

    def split_outputs(self, outputs: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split into log-scale a and shift m in the precision of `x`, and clip both."""
        outputs = outputs.to(x.dtype)
        if self.clip is not None:
            outputs = outputs.clamp(-self.clip, self.clip)
        if outputs.shape[-1] == x.shape[-1]:
            return torch.zeros_like(outputs), outputs
        a, m = outputs.chunk(2, dim=-1)
        return a, m

    def affine(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the log-scale a and shift m of every token, (B, T, D); those of token 0 are zero."""
        a, m, _ = self.predict(x[:, :-1], y)
        return F.pad(a, (0, 0, 1, 0)), F.pad(m, (0, 0, 1, 0))

    def forward(self, u: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map tokens (B, T, D) one block towards noise, in raster order, all tokens at once.

        Returns:
            z: (B, T, D).
            logdet: log|det dz/du| per image in nats, averaged over T*D, (B,).
        """
        x = self.order(u)
        a, m = self.affine(x, y)
        return self.order((x - m) * torch.exp(-a)), -a.mean(dim=(1, 2))


class TarFlow(nn.Module):
    """A stack of causal affine blocks in alternating token order; arXiv:2412.06329."""

    def __init__(self, spec: TarFlowSpec):
        super().__init__()
        self.spec = spec
        self.blocks = nn.ModuleList(Block(spec, reverse=b % 2 == 1) for b in range(spec.blocks))
        # Variance of the prior per token and value; ones unless the flow preserves volume.
        self.register_buffer("var", torch.ones(spec.n_tokens, spec.token_dim))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Code:
        """Encode images to noise.

        Args:
            x: images in [-1, 1] plus training noise, (B, c, H, W).
            y: class ids (B,), -1 for no class; None is -1 for all. An unconditional flow ignores it.
        """
        u = images_to_tokens(x, self.spec.patch_size)
        states, logdet = [], torch.zeros(len(x), dtype=u.dtype, device=u.device)
        for block in self.blocks:
            u, block_logdet = block(u, y)
            states.append(u)
            logdet = logdet + block_logdet
        return Code(u, states, logdet)

    forward = encode

    def to_images(self, tokens: Tensor) -> Tensor:
        """Assemble tokens (B, T, D) to images (B, c, H, W)."""
        return tokens_to_images(tokens, self.spec.patch_size, self.spec.channels)

    def loss(self, code: Code) -> Tensor:
        """Negative log-likelihood in nats per dimension less 1/2 ln 2 pi, averaged over the batch."""
        prior = (
            code.z.square() / self.var + self.var.log() if self.spec.volume_preserving else code.z.square()
        )
        return 0.5 * prior.mean() - code.logdet.mean()

    @torch.no_grad()
    def update_prior(self, z: Tensor, momentum: float = 0.9) -> None:
        """Move the running prior variance of a volume-preserving flow towards that of a batch."""
        self.var.lerp_(z.square().mean(dim=0), 1 - momentum)
