"""The reverse model of BiFlow (arXiv:2512.10953, section 4): noise to a clean image in one evaluation."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biflow.layers import Head, Layer, rotary_angles
from nfbench.data.tokens import tokens_to_images


@dataclass(frozen=True)
class ReverseSpec:
    """Architecture of a reverse model; images and patches are those of the flow it reverses.

    Attributes:
        blocks: K, flow blocks, each reversed by one group of layers; one more group denoises.
        width: C; `head_dim` must divide it and be divisible by 4.
        n_classes: None for an unconditional flow.
    """

    channels: int
    image_size: int
    patch_size: int
    width: int
    blocks: int
    layers_per_group: int
    head_dim: int = 64
    n_classes: int | None = None

    def __post_init__(self) -> None:
        if self.width % self.head_dim:
            raise ValueError(f"head_dim {self.head_dim} does not divide width {self.width}")

    @property
    def side(self) -> int:
        """Tokens along a side of the image."""
        return self.image_size // self.patch_size

    @property
    def n_tokens(self) -> int:
        """T, the number of patches."""
        return self.side**2

    @property
    def token_dim(self) -> int:
        """D, the number of values in a patch."""
        return self.channels * self.patch_size**2


@dataclass(frozen=True)
class Reversal:
    """What the reverse model makes of noise.

    Attributes:
        x: the clean image's tokens, (B, T, D).
        states: the projected hidden states that stand for x_{K-1}, ..., x_0, in units of each target's
            RMS, (B, T, D) each.
    """

    x: Tensor
    states: list[Tensor]


class Group(nn.Module):
    """The layers that reverse one flow block; the class enters by an embedding of the group's own."""

    def __init__(self, spec: ReverseSpec):
        super().__init__()
        # One embedding a class and, last, one for "no class".
        self.classes = None
        if spec.n_classes is not None:
            self.classes = nn.Embedding(spec.n_classes + 1, spec.width)
            nn.init.normal_(self.classes.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(spec.width, spec.head_dim) for _ in range(spec.layers_per_group))

    def forward(self, h: Tensor, y: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        if self.classes is not None:
            no_class = self.classes.num_embeddings - 1
            h = h + self.classes(torch.where(y < 0, no_class, y))[:, None]
        for layer in self.layers:
            h = layer(h, cos, sin)
        return h


class ReverseModel(nn.Module):
    """A bidirectional transformer with one group of layers per flow block and one that denoises.

    h_K = embed(z); h_i = G_i(h_{i+1}) for i = K-1..0; x' = out(G_d(h_0)). The projection heads phi_i
    serve training (hidden alignment) and pictures of the way back; sampling does not evaluate them.
    """

    def __init__(self, spec: ReverseSpec):
        super().__init__()
        self.spec = spec
        self.embed = nn.Linear(spec.token_dim, spec.width)
        self.position = nn.Parameter(torch.randn(spec.n_tokens, spec.width) * 0.02)
        self.groups = nn.ModuleList(Group(spec) for _ in range(spec.blocks))
        self.denoising_group = Group(spec)
        self.out = Head(spec.width, spec.token_dim)
        self.heads = nn.ModuleList(Head(spec.width, spec.token_dim) for _ in range(spec.blocks))
        angles = rotary_angles(spec.side, spec.head_dim)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        # RMS of the targets x_{K-1}, ..., x_0, measured before training.
        self.register_buffer("target_rms", torch.ones(spec.blocks))

    def hidden_states(self, z: Tensor, y: Tensor | None) -> list[Tensor]:
        """Return h_{K-1}, ..., h_0 and the denoising group's output, (B, T, C) each.

        Args:
            z: noise, (B, T, D).
            y: class ids (B,), -1 for no class; None is -1 for all. An unconditional model ignores it.
        """
        if y is None:
            y = torch.full((len(z),), -1, device=z.device)
        h = self.embed(z) + self.position
        states = []
        for group in (*self.groups, self.denoising_group):
            h = group(h, y, self.cos, self.sin)
            states.append(h)
        return states

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map noise (B, T, D) to the tokens of clean images, (B, T, D), in one evaluation."""
        return self.out(self.hidden_states(z, y)[-1])

    def reverse(self, z: Tensor, y: Tensor | None = None) -> Reversal:
        """Map noise to clean images and project the states on the way."""
        *states, last = self.hidden_states(z, y)
        projected = [head(h) for head, h in zip(self.heads, states, strict=True)]
        return Reversal(self.out(last), projected)

    def to_images(self, tokens: Tensor) -> Tensor:
        """Assemble tokens (B, T, D) to images (B, c, H, W)."""
        return tokens_to_images(tokens, self.spec.patch_size, self.spec.channels)

    def n_sampling_parameters(self) -> int:
        """Count the parameters that sampling uses: all but the projection heads."""
        heads = sum(p.numel() for p in self.heads.parameters())
        return sum(p.numel() for p in self.parameters()) - heads
