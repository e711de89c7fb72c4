"""The reverse model of BiFlow (arXiv:2512.10953, section 4): noise to a clean image in one evaluation."""

import typing
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biflow.layers import Head, Layer, ScaleEmbedding, rotary_angles
from nfbench.data.tokens import tokens_to_images
from nfbench.device import in_full_precision

Projection = Literal["beside", "through", "none"]
Denoising = Literal["learned", "none"]
Normalisation = Literal["state", "token", "none"]
Conditioning = Literal["added", "in-context", "extrapolated"]


@dataclass(frozen=True)
class ReverseSpec:
    """Architecture of a reverse model; images and patches are those of the flow it reverses.

    From `projection` on, the defaults are what checkpoints written before them mean.

    Attributes:
        blocks: K, flow blocks, each reversed by one group of layers.
        width: C; `head_dim` must divide it and be divisible by 4.
        n_classes: None for an unconditional flow.
        projection: of the hidden states to data space. "beside": heads read them in training, and the
            network goes on without (hidden alignment). "through": the network goes on from the
            projections, embedded again (hidden distillation). "none": there are no heads.
        denoising: "learned": one more group, and clean images come out; "none": noisy ones.
        normalisation: the units of projected states. "state": the RMS of each target; "token": the RMS of
            each target at each token's place; "none": those of the flow.
        mlp_width: hidden width of the perceptrons, None for 8/3 C.
        conditioning: how class and guidance scale enter a group. "added": their embeddings are added to
            every token; "in-context": they are tokens of their own within the group; "extrapolated": as
            added, but the scale also moves the class's embedding away from that of no class.
        guidance_max: w_max, the largest guidance scale that the model takes; 0 for a model that takes none.
    """

    channels: int
    image_size: int
    patch_size: int
    width: int
    blocks: int
    layers_per_group: int
    head_dim: int = 64
    n_classes: int | None = None
    projection: Projection = "beside"
    denoising: Denoising = "learned"
    normalisation: Normalisation = "state"
    mlp_width: int | None = None
    conditioning: Conditioning = "added"
    guidance_max: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.head_dim:
            raise ValueError(f"head_dim {self.head_dim} does not divide width {self.width}")
        for name, kind in (
            ("projection", Projection),
            ("denoising", Denoising),
            ("normalisation", Normalisation),
            ("conditioning", Conditioning),
        ):
            value, known = getattr(self, name), typing.get_args(kind)
            if value not in known:
                raise ValueError(f"{name} is {value!r}, not one of {known}")
        if self.guidance_max < 0 or (self.guidance_max and self.n_classes is None):
            raise ValueError(f"guidance_max is {self.guidance_max}; it must be >= 0, and > 0 needs classes")

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

    @property
    def output(self) -> Literal["clean", "noisy"]:
        """Whether the images that come out carry the flow's training noise."""
        return "clean" if self.denoising == "learned" else "noisy"

    @property
    def n_states(self) -> int:
        """Number of projected states: x_{K-1}, ..., x_0, but x_0 itself comes out where nothing denoises."""
        if self.projection == "none":
            return 0
        return self.blocks if self.output == "clean" else self.blocks - 1


@dataclass(frozen=True)
class Reversal:
    """What the reverse model makes of noise.

    Attributes:
        x: the tokens of the images that come out, (B, T, D).
        states: the projected hidden states that stand for x_{K-1}, x_{K-2}, ..., in the model's units of
            each, (B, T, D) each.
    """

    x: Tensor
    states: list[Tensor]


class Group(nn.Module):
    """The layers that reverse one flow block; the class enters by an embedding of the group's own.

    The embedding is added to every token before the first layer, as every block of the flow does it
    (arXiv:2412.06329), or (in-context) stands before the tokens while the group lasts, with the rotary angle
    0, which is no place in the image's grid; that of the guidance scale likewise. Either way a fresh group
    leaves the image's tokens as they are, but for what is added. "No class" has an embedding of its own
    (classifier-free guidance's, arXiv:2207.12598) where the flow takes the mean over classes. How BiFlow's
    network is conditioned is not published where we could read it; adaptive norms (arXiv:2212.09748), the
    other usual way, add 6 C^2 parameters a layer to some 12 C^2.

    An embedding of the scale alone points the same way for every class, and layers would have to learn a
    product of scale and class. Extrapolated, the class's embedding is

        e(y, w) = (1 + w) e(y) - w e(no class),

    which guides a group that is linear in it exactly, with nothing to be learned (see `biflow.guidance`);
    what layers bend of it is left to the scale's own embedding beside.
    """

    def __init__(self, spec: ReverseSpec):
        super().__init__()
        self.conditioning = spec.conditioning
        # One embedding a class and, last, one for "no class".
        self.classes = None
        if spec.n_classes is not None:
            self.classes = nn.Embedding(spec.n_classes + 1, spec.width)
            nn.init.normal_(self.classes.weight, std=0.02)
        self.layers = nn.ModuleList(
            Layer(spec.width, spec.head_dim, spec.mlp_width) for _ in range(spec.layers_per_group)
        )

    def forward(
        self,
        h: Tensor,
        y: Tensor,
        cos: Tensor,
        sin: Tensor,
        w: Tensor | None = None,
        scale_embedding: Tensor | None = None,
    ) -> Tensor:
        """(B, T, C) to (B, T, C); y and w as of `ReverseModel.run_group`, and w's embedding, (B, C)."""
        conditions = [] if scale_embedding is None else [scale_embedding[:, None]]
        if self.classes is not None:
            conditions.insert(0, self._class_embedding(y, w)[:, None])
        extra = len(conditions) if self.conditioning == "in-context" else 0
        if extra:
            h = torch.cat([*conditions, h], dim=1)
            cos, sin = F.pad(cos, (0, 0, extra, 0), value=1.0), F.pad(sin, (0, 0, extra, 0))
        else:
            for condition in conditions:
                h = h + condition
        for layer in self.layers:
            h = layer(h, cos, sin)
        return h[:, extra:]

    def _class_embedding(self, y: Tensor, w: Tensor | None) -> Tensor:
        no_class = self.classes.num_embeddings - 1
        # The class after the last has the row of "no class": without the shift it would pass for it.
        embedded = self.classes(torch.where(y < 0, no_class, y + (y >= no_class)))
        if w is None or self.conditioning != "extrapolated":
            return embedded
        # Images with a class leave the embedding of "no class" alone, as they do where nothing is guided.
        return embedded + w[:, None] * (embedded - self.classes.weight[no_class].detach())


class ReverseModel(nn.Module):
    """A bidirectional transformer with one group of layers per flow block and one that denoises.

    Beside the rotary positions in the layers (`biflow.layers`), every token gets a learned one with its
    embedding, as in ViT (arXiv:2010.11929).

    h_K = embed(z); h_i = G_i(h_{i+1}) for i = K-1..0; x' = out(G_d(h_0)). Projection heads phi_i serve
    training and pictures of the way back. How they are used is the method's (`ReverseSpec.projection`):

    - beside: phi_i(h_i) is read off, and sampling evaluates no head.
    - through: h_i <- embed_i(phi_i(h_i)) + position before the next group, in sampling too. The projection
      is embedded as the head gives it, in units of its target: the embedding then has inputs of unit size
      whatever the state, and what a target is divided by is multiplied back nowhere. The position is added
      again, since D values a token need not carry it. The heads do not start at zero here, where they
      would cut every group from z and from its gradient.
    - none: no heads.

    Where nothing denoises, G_d is left out, x_0' = out(h_0), and no head stands beside `out` for x_0.
    """

    def __init__(self, spec: ReverseSpec):
        super().__init__()
        self.spec = spec
        through = spec.projection == "through"
        self.embed = nn.Linear(spec.token_dim, spec.width)
        self.position = nn.Parameter(torch.randn(spec.n_tokens, spec.width) * 0.02)
        self.groups = nn.ModuleList(Group(spec) for _ in range(spec.blocks))
        self.denoising_group = Group(spec) if spec.denoising == "learned" else None
        self.out = Head(spec.width, spec.token_dim)
        # What only some methods have comes last: the rest starts the same for all of them at the same seed.
        self.heads = nn.ModuleList(
            Head(spec.width, spec.token_dim, from_zero=not through) for _ in range(spec.n_states)
        )
        self.embeds = nn.ModuleList(
            nn.Linear(spec.token_dim, spec.width) for _ in range(spec.n_states if through else 0)
        )
        self.scales = nn.ModuleList(
            ScaleEmbedding(spec.width, spec.guidance_max, offset=spec.conditioning == "in-context")
            for _ in range(self.n_groups if spec.guidance_max else 0)
        )
        angles = rotary_angles(spec.side, spec.head_dim)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        # RMS of the targets x_{K-1}, x_{K-2}, ..., measured before training: (states,) or (states, T).
        shape = (spec.n_states, spec.n_tokens) if spec.normalisation == "token" else (spec.n_states,)
        self.register_buffer("target_rms", torch.ones(shape))

    def state_units(self) -> list[Tensor]:
        """Return what a projected state is multiplied by to give x_{K-1}, x_{K-2}, ...: () or (T, 1)."""
        return [rms[..., None] if rms.ndim else rms for rms in self.target_rms]

    def groups_in_order(self) -> list[Group]:
        """Return the groups from the noise on, the denoising one last."""
        return [*self.groups, *([] if self.denoising_group is None else [self.denoising_group])]

    @property
    def n_groups(self) -> int:
        """Number of groups, the denoising one included."""
        return len(self.groups_in_order())

    def start(self, z: Tensor) -> Tensor:
        """Return h_K, what the first group is given, (B, T, C)."""
        return in_full_precision(self.embed, z) + self.position

    def run_group(self, i: int, h: Tensor, y: Tensor | None, w: Tensor | None = None) -> Tensor:
        """Evaluate the i-th group from the noise on, (B, T, C) to (B, T, C).

        Args:
            y: class ids (B,), -1 for no class; None is -1 for all. An unconditional model ignores it.
            w: guidance scales (B,), 0 for none, up to the spec's `guidance_max`; None is 0 for all.

        Raises:
            ValueError: scales are given to a model that takes none.
        """
        y = torch.full((len(h),), -1, device=h.device) if y is None else y
        if w is not None and not self.scales:
            raise ValueError("this model takes no guidance scale: its guidance_max is 0")
        scale_embedding = None
        if self.scales:
            w = torch.zeros(len(h), dtype=h.dtype, device=h.device) if w is None else w
            scale_embedding = self.scales[i](w)
        return self.groups_in_order()[i](h, y, self.cos, self.sin, w, scale_embedding)

    def go_on(self, i: int, h: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what the group after the i-th is given, and the projection it passes through, if any."""
        if i >= len(self.embeds):
            return h, None
        projected = self.heads[i](h)
        return in_full_precision(self.embeds[i], projected) + self.position, projected

    def hidden_states(self, z: Tensor, y: Tensor | None, w: Tensor | None = None) -> list[Tensor]:
        """Return the output of every group, (B, T, C) each: h_{K-1}, ..., h_0 and the denoising group's.

        Args:
            z: noise, (B, T, D).
            y, w: see `run_group`.
        """
        return self._run_groups(z, y, w)[0]

    def _run_groups(
        self, z: Tensor, y: Tensor | None, w: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the output of every group, and the projections that the network goes on from."""
        h, states, projected = self.start(z), [], []
        for i in range(self.n_groups):
            states.append(self.run_group(i, h, y, w))
            h, projection = self.go_on(i, states[i])
            if projection is not None:
                projected.append(projection)
        return states, projected

    def forward(self, z: Tensor, y: Tensor | None = None, w: Tensor | None = None) -> Tensor:
        """Map noise (B, T, D) to the tokens of images, (B, T, D), in one evaluation."""
        return self.out(self.hidden_states(z, y, w)[-1])

    def reverse(self, z: Tensor, y: Tensor | None = None) -> Reversal:
        """Map noise to images and project the states on the way."""
        states, projected = self._run_groups(z, y)
        if self.spec.projection == "beside":
            projected = [head(h) for head, h in zip(self.heads, states[:-1], strict=True)]
        return Reversal(self.out(states[-1]), projected)

    def way_back(self, z: Tensor, y: Tensor | None = None) -> list[Tensor | None]:
        """Return the way back as the model shows it: x', x_0', ..., x_{K-1}', each (B, T, D) or None.

        None stands for the states that a model does not project, and for the clean image of a model that
        does not denoise. In the flow's units.
        """
        reversal = self.reverse(z, y)
        states = [state * unit for state, unit in zip(reversal.states, self.state_units(), strict=True)]
        first = [reversal.x] if self.spec.output == "clean" else [None, reversal.x]
        return first + (states[::-1] or [None] * (self.spec.blocks + 1 - len(first)))

    def to_images(self, tokens: Tensor) -> Tensor:
        """Assemble tokens (B, T, D) to images (B, c, H, W)."""
        return tokens_to_images(tokens, self.spec.patch_size, self.spec.channels)

    def n_sampling_parameters(self) -> int:
        """Count the parameters that sampling uses: all but heads that only read the states."""
        heads = sum(p.numel() for p in self.heads.parameters()) if self.spec.projection == "beside" else 0
        return sum(p.numel() for p in self.parameters()) - heads
