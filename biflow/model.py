"""The reverse model of BiFlow (arXiv:2512.10953, section 4), which maps noise to images in one evaluation."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biflow.layers import Head, Layer, ScaleEmbedding, rotary_angles
from nfbench.data.tokens import tokens_to_images
from nfbench.runtime import in_full_precision
from nfbench.train.checkpoint import load_model, save_checkpoint

Projection = Literal["auxiliary", "bottleneck", "none"]
Denoising = Literal["learned", "none"]
Normalisation = Literal["state", "token", "none"]
Conditioning = Literal["added", "in-context", "extrapolated"]


@dataclass(frozen=True)
class ReverseSpec:
    """Architecture of a reverse model; its images and patches are those of the flow.

    Attributes:
        width: C; `head_dim` must divide it and be divisible by 4.
        blocks: K, blocks of the flow; each is reversed by one stage of layers.
        n_classes: None for an unconditional flow.
        projection: of hidden states to data space. "auxiliary": heads read the states in training only
            (hidden alignment). "bottleneck": the next stage gets the projection, embedded again (hidden
            distillation). "none": there are no heads.
        denoising: "learned": one more stage makes the images clean; "none": the images are noisy.
        normalisation: units of projected states. "state": RMS of each target; "token": RMS of each target
            at each token position; "none": units of the flow.
        mlp_width: hidden width of the MLPs, None for 8/3 C.
        conditioning: on class and guidance scale. "added": their embeddings are added to every token;
            "in-context": they are extra tokens of a stage; "extrapolated": as added, but the class
            embedding is also extrapolated from that of no class, see `Stage`.
        guidance_max: w_max, the largest guidance scale; 0 for a model without training-time guidance.
    """

    channels: int
    image_size: int
    patch_size: int
    width: int
    blocks: int
    layers_per_stage: int
    head_dim: int = 64
    n_classes: int | None = None
    projection: Projection = "auxiliary"
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
        """Number of projected states: K, or K - 1 without denoising, where x_0 is the output itself."""
        if self.projection == "none":
            return 0
        return self.blocks if self.output == "clean" else self.blocks - 1


@dataclass(frozen=True)
class ReverseOutput:
    """Images and projected states.

    Attributes:
        x: tokens of the images, (B, T, D).
        states: predictions of x_{K-1}, x_{K-2}, ..., in the model's units, (B, T, D) each.
    """

    x: Tensor
    states: list[Tensor]


class Stage(nn.Module):
    """The layers that reverse one flow block, with class and guidance embeddings of their own.

    The embeddings are added to every token before the first layer, as in every block of the flow
    (arXiv:2412.06329). In-context, they are tokens before those of the image within this stage, with rotary
    angle 0, which is no position in the image. "No class" has its own embedding, as in classifier-free
    guidance (arXiv:2207.12598); the flow takes the mean over classes. The conditioning of BiFlow's network
    is not published. Adaptive norms (arXiv:2212.09748), another usual choice, would add 6 C^2 parameters to
    the 12 C^2 of a layer.

    The embedding of the scale is the same vector for every class, so the layers must learn a product of
    scale and class. Extrapolated, the class embedding is

        e(y, w) = (1 + w) e(y) - w e(no class),

    which is exact guidance (see `biflow.guidance`) of a stage that is linear in it. The embedding of the
    scale then corrects for the layers' nonlinearity.
    """

    def __init__(self, spec: ReverseSpec):
        super().__init__()
        self.conditioning = spec.conditioning
        # One embedding per class; the last one is "no class".
        self.classes = None
        if spec.n_classes is not None:
            self.classes = nn.Embedding(spec.n_classes + 1, spec.width)
            nn.init.normal_(self.classes.weight, std=0.02)
        self.layers = nn.ModuleList(
            Layer(spec.width, spec.head_dim, spec.mlp_width) for _ in range(spec.layers_per_stage)
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
        """(B, T, C) to (B, T, C); y and w as in `ReverseModel.run_stage`, and the embedding of w, (B, C)."""
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
        # Shift ids that are too large, so that they raise an error instead of meaning "no class".
        embedded = self.classes(torch.where(y < 0, no_class, y + (y >= no_class)))
        if w is None or self.conditioning != "extrapolated":
            return embedded
        # As without guidance, images with a class do not train the embedding of "no class".
        return embedded + w[:, None] * (embedded - self.classes.weight[no_class].detach())


class ReverseModel(nn.Module):
    """Bidirectional transformer with one stage of layers per flow block and one that denoises.

    h_K = embed(z); h_i = G_i(h_{i+1}) for i = K-1..0; x' = out(G_d(h_0)). Tokens have learned positions, as
    in ViT (arXiv:2010.11929), besides the rotary ones of the layers. Projection heads phi_i map hidden
    states to data space (`ReverseSpec.projection`):

    - auxiliary: phi_i(h_i) is a second output of stage i; sampling evaluates no head.
    - bottleneck: h_i <- embed_i(phi_i(h_i)) + position before the next stage, in sampling too. The projection
      stays in the unit of its target, so that the input of embed_i has unit size. The position is added
      again, since the D values of a token may not contain it. The heads do not start at zero, which would
      cut a stage off from z and from the gradient.
    - none: no heads.

    Without denoising there is no G_d; then x_0' = out(h_0), and no head predicts x_0.
    """

    def __init__(self, spec: ReverseSpec):
        super().__init__()
        self.spec = spec
        bottleneck = spec.projection == "bottleneck"
        self.embed = nn.Linear(spec.token_dim, spec.width)
        self.position = nn.Parameter(torch.randn(spec.n_tokens, spec.width) * 0.02)
        self.stages = nn.ModuleList(Stage(spec) for _ in range(spec.blocks))
        self.denoising_stage = Stage(spec) if spec.denoising == "learned" else None
        self.out = Head(spec.width, spec.token_dim)
        # Parts that only some objectives have come last, so that the others are the same for one seed.
        self.heads = nn.ModuleList(
            Head(spec.width, spec.token_dim, from_zero=not bottleneck) for _ in range(spec.n_states)
        )
        self.embeds = nn.ModuleList(
            nn.Linear(spec.token_dim, spec.width) for _ in range(spec.n_states if bottleneck else 0)
        )
        self.scales = nn.ModuleList(
            ScaleEmbedding(spec.width, spec.guidance_max, offset=spec.conditioning == "in-context")
            for _ in range(self.n_stages if spec.guidance_max else 0)
        )
        angles = rotary_angles(spec.side, spec.head_dim)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        # RMS of the targets x_{K-1}, x_{K-2}, ..., measured before training: (states,) or (states, T).
        shape = (spec.n_states, spec.n_tokens) if spec.normalisation == "token" else (spec.n_states,)
        self.register_buffer("target_rms", torch.ones(shape))

    def state_units(self) -> list[Tensor]:
        """Return the units of x_{K-1}, x_{K-2}, ..., which multiply projected states, () or (T, 1) each."""
        return [rms[..., None] if rms.ndim else rms for rms in self.target_rms]

    def stages_in_order(self) -> list[Stage]:
        """Return all stages, from the noise to the image."""
        return [*self.stages, *([] if self.denoising_stage is None else [self.denoising_stage])]

    @property
    def n_stages(self) -> int:
        """Number of stages, the denoising one included."""
        return len(self.stages_in_order())

    def start(self, z: Tensor) -> Tensor:
        """Return h_K, the input of the first stage, (B, T, C)."""
        return in_full_precision(self.embed, z) + self.position

    def run_stage(self, i: int, h: Tensor, y: Tensor | None, w: Tensor | None = None) -> Tensor:
        """Evaluate stage i, counted from the noise, (B, T, C) to (B, T, C).

        Args:
            y: class ids (B,), -1 for no class; None means -1 for all. An unconditional model ignores it.
            w: guidance scales (B,), from 0 to `guidance_max`; None means 0 for all.

        Raises:
            ValueError: scales are given to a model without training-time guidance.
        """
        y = torch.full((len(h),), -1, device=h.device) if y is None else y
        if w is not None and not self.scales:
            raise ValueError("this model takes no guidance scale: its guidance_max is 0")
        scale_embedding = None
        if self.scales:
            w = torch.zeros(len(h), dtype=h.dtype, device=h.device) if w is None else w
            scale_embedding = self.scales[i](w)
        return self.stages_in_order()[i](h, y, self.cos, self.sin, w, scale_embedding)

    def next_hidden(self, i: int, h: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the input of the stage after i, and the projection that it was made from, if any."""
        if i >= len(self.embeds):
            return h, None
        projected = self.heads[i](h)
        return in_full_precision(self.embeds[i], projected) + self.position, projected

    def hidden_states(self, z: Tensor, y: Tensor | None, w: Tensor | None = None) -> list[Tensor]:
        """Return the output of every stage, (B, T, C) each: h_{K-1}, ..., h_0 and the denoising stage's.

        Args:
            z: noise, (B, T, D).
            y, w: see `run_stage`.
        """
        return self._run_stages(z, y, w)[0]

    def _run_stages(
        self, z: Tensor, y: Tensor | None, w: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the output of every stage, and the projections of a bottleneck."""
        h, states, projected = self.start(z), [], []
        for i in range(self.n_stages):
            states.append(self.run_stage(i, h, y, w))
            h, projection = self.next_hidden(i, states[i])
            if projection is not None:
                projected.append(projection)
        return states, projected

    def forward(self, z: Tensor, y: Tensor | None = None, w: Tensor | None = None) -> Tensor:
        """Map noise (B, T, D) to the tokens of images, (B, T, D), in one evaluation."""
        return self.out(self.hidden_states(z, y, w)[-1])

    def reverse(self, z: Tensor, y: Tensor | None = None) -> ReverseOutput:
        """Map noise (B, T, D) to images and all projected states."""
        states, projected = self._run_stages(z, y)
        if self.spec.projection == "auxiliary":
            projected = [head(h) for head, h in zip(self.heads, states[:-1], strict=True)]
        return ReverseOutput(self.out(states[-1]), projected)

    def decode_trajectory(self, z: Tensor, y: Tensor | None = None) -> list[Tensor | None]:
        """Return x', x_0', ..., x_{K-1}', in the flow's units, each (B, T, D).

        Entries that the model does not predict are None: the clean image without denoising, and all states
        without projections.
        """
        result = self.reverse(z, y)
        states = [state * unit for state, unit in zip(result.states, self.state_units(), strict=True)]
        first = [result.x] if self.spec.output == "clean" else [None, result.x]
        return first + (states[::-1] or [None] * (self.spec.blocks + 1 - len(first)))

    def to_images(self, tokens: Tensor) -> Tensor:
        """Assemble tokens (B, T, D) to images (B, c, H, W)."""
        return tokens_to_images(tokens, self.spec.patch_size, self.spec.channels)

    def n_sampling_parameters(self) -> int:
        """Count the parameters that sampling uses: all but auxiliary heads."""
        heads = sum(p.numel() for p in self.heads.parameters()) if self.spec.projection == "auxiliary" else 0
        return sum(p.numel() for p in self.parameters()) - heads


KIND = "biflow-reverse"


def save_reverse(
    path: str | Path,
    model: ReverseModel,
    meta: dict[str, Any] | None = None,
    kept: Mapping[int, Mapping[str, Tensor]] | None = None,
) -> None:
    """Write a reverse model with its architecture, further metadata, and weights at earlier steps."""
    architecture = dataclasses.asdict(model.spec)
    save_checkpoint(path, model, KIND, {"architecture": architecture} | (meta or {}), kept)


def load_reverse(path: str | Path, step: int | None = None) -> ReverseModel:
    """Read a reverse model, in evaluation mode on the CPU.

    Args:
        step: of an earlier checkpoint in the same file; None for the final weights.

    Raises:
        UserError: the file is missing, corrupt, no reverse model, or has no weights of that step.
    """
    return load_model(path, KIND, lambda architecture: ReverseModel(ReverseSpec(**architecture)), step)
