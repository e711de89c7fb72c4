"""FARMER's one-step distillation (arXiv:2510.23588) for a TARFlow: the teacher, made bidirectional.

The student has the architecture of the frozen flow and starts from its weights. Each of its blocks undoes
one of the flow's in a single pass, reading all tokens at once, and is matched by MSE to the flow's states in
reverse order. No more detail is published. The choices made here:

- A block reads the tokens v of the noise side, in its own order and without the causal mask, and gives
  u_i = v_i exp(a_{i-1}) + m_{i-1}: scale and shift of a token come from the network's row before it, and are
  clipped, as in the flow. In any other place the weights would do what they were not trained for. With
  the mask back on, an untrained student is one Jacobi iteration from z, and tokens 0 and 1 of each block are
  exact; see the tests.
- Token 0 passes unchanged, as in the exact inverse. The last row predicts no token; the others attend to it.
- The clip rules out no exact student: the flow's own scales and shifts obey it.
- In training the student runs from z to x_0 on its own states, as in sampling, with the gradient through
  the whole chain; no block is given the flow's states.

The output is x_0, which carries the flow's training noise.
"""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.tarflow.cost import CountedEvaluation, pass_flops
from baselines.tarflow.model import Block, TarFlow, TarFlowSpec
from nfbench.data.tokens import tokens_to_images
from nfbench.errors import UserError
from nfbench.runtime import attend, autocast, checked_precision, in_full_precision, in_precision
from nfbench.sample.sampler import Sampled
from nfbench.train.checkpoint import load_model, save_checkpoint

KIND = "farmer-student"

Normalisation = Literal["state", "token", "none"]


@dataclass(frozen=True)
class StudentSpec:
    """Architecture of a student.

    Attributes:
        flow: that of its teacher.
        normalisation: units of the errors of states. "state": the RMS of each state of the flow;
            "token": the same for every token's place; "none": no division.
    """

    flow: TarFlowSpec
    normalisation: Normalisation = "state"
    output: typing.ClassVar[Literal["noisy"]] = "noisy"  # the images carry the flow's training noise

    def __post_init__(self) -> None:
        known = typing.get_args(Normalisation)
        if self.normalisation not in known:
            raise ValueError(f"normalisation is {self.normalisation!r}, not one of {known}")


class StudentBlock(Block):
    """A flow block that is undone in one pass, every token reading all; weights as in the flow's block."""

    def affine(self, x: Tensor, y: Tensor | None, causal: bool = False) -> tuple[Tensor, Tensor]:
        """Return the log-scale a and shift m of every token, (B, T, D); those of token 0 are zero.

        Args:
            x: tokens of the noise side in the block's own order, (B, T, D).
            y: class ids (B,), -1 for no class; None for none at all.
            causal: whether the flow's mask is on.
        """
        h = in_full_precision(self.proj_in, x) + self.order(self.pos_embed[None]) + self.condition(y)
        for layer in self.attn_blocks:
            q, k, v = layer.attention.split(h)
            h = h + layer.attention.merge(attend(q, k, v, is_causal=causal))
            h = h + layer.mlp(h)
        a, m = self.split_outputs(in_full_precision(self.proj_out, h[:, :-1]), x)
        return F.pad(a, (0, 0, 1, 0)), F.pad(m, (0, 0, 1, 0))

    def forward(self, v: Tensor, y: Tensor | None = None, causal: bool = False) -> Tensor:
        """Map tokens (B, T, D) one block towards data, in raster order, all tokens at once."""
        x = self.order(v)
        a, m = self.affine(x, y, causal)
        return self.order(x * torch.exp(a) + m)


class FarmerStudent(nn.Module):
    """One block for each of the flow's; they undo the flow's from the last to the first."""

    def __init__(self, spec: StudentSpec):
        super().__init__()
        self.spec = spec
        flow = spec.flow
        self.blocks = nn.ModuleList(StudentBlock(flow, reverse=b % 2 == 1) for b in range(flow.blocks))
        self.register_buffer("var", torch.ones(flow.n_tokens, flow.token_dim))
        # RMS of the targets x_{K-1}, ..., x_0, measured before training: (K,) or (K, T).
        shape = (flow.blocks, flow.n_tokens) if spec.normalisation == "token" else (flow.blocks,)
        self.register_buffer("target_rms", torch.ones(shape))

    @classmethod
    def of(cls, flow: TarFlow, normalisation: Normalisation = "state") -> Self:
        """Return a student with a copy of the flow's weights; the flow keeps its own."""
        student = cls(StudentSpec(flow.spec, normalisation)).to(flow.var)
        student.load_state_dict(flow.state_dict() | {"target_rms": student.target_rms})
        return student

    def states(self, z: Tensor, y: Tensor | None = None, causal: bool = False) -> list[Tensor]:
        """Return x_{K-1}', ..., x_0', the tokens after each block, (B, T, D) each, in the flow's units.

        Args:
            z: noise of unit variance, (B, T, D).
            y: class ids (B,), -1 for no class; None is -1 for all. An unconditional model ignores it.
            causal: whether the flow's mask is on; only to compare the student with the flow.
        """
        x, states = z * self.var.sqrt(), []
        for block in reversed(self.blocks):
            x = block(x, y, causal)
            states.append(x)
        return states

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map noise (B, T, D) to the tokens of noisy images, (B, T, D), in one evaluation."""
        return self.states(z, y)[-1]

    def decode_trajectory(self, z: Tensor, y: Tensor | None = None) -> list[Tensor | None]:
        """Return None for the clean image, which a student does not make, then x_0', ..., x_{K-1}'."""
        return [None, *self.states(z, y)[::-1]]

    def state_units(self) -> list[Tensor]:
        """Return what the errors of x_{K-1}', ..., x_0' are divided by: () or (T, 1) each."""
        return [rms[..., None] if rms.ndim else rms for rms in self.target_rms]

    def to_images(self, tokens: Tensor) -> Tensor:
        """Assemble tokens (B, T, D) to images (B, c, H, W)."""
        return tokens_to_images(tokens, self.spec.flow.patch_size, self.spec.flow.channels)


def state_errors(student: FarmerStudent, states: list[Tensor], targets: list[Tensor]) -> list[Tensor]:
    """Return the MSE of x_{K-1}', ..., x_0' in the student's units, one scalar a block.

    Their sum is what a student is trained by: sum_b MSE((x_b' - x_b) / r_b), b = K-1..0, with r_b the unit
    of state b, so that every block's error weighs the same.

    Args:
        states: what `FarmerStudent.states` returned.
        targets: the flow's x_{K-1}, ..., x_0, of which x_0 is the noisy image.
    """
    triples = zip(states, targets, student.state_units(), strict=True)
    return [((state - target) / unit).square().mean() for state, target, unit in triples]


def save_student(
    path: str | Path,
    student: FarmerStudent,
    meta: dict[str, Any] | None = None,
    kept: Mapping[int, Mapping[str, Tensor]] | None = None,
) -> None:
    """Write a student, its architecture, further JSON-able facts, and weights at earlier steps."""
    architecture = dataclasses.asdict(student.spec)
    save_checkpoint(path, student, KIND, {"architecture": architecture} | (meta or {}), kept)


def load_student(path: str | Path, step: int | None = None) -> FarmerStudent:
    """Read a student, in evaluation mode on the CPU.

    Args:
        step: of an earlier checkpoint in the same file; None for the final weights.

    Raises:
        UserError: the file is missing, corrupt, no student, or has no weights of that step.
    """

    def build(architecture: dict[str, Any]) -> FarmerStudent:
        return FarmerStudent(StudentSpec(**architecture | {"flow": TarFlowSpec(**architecture["flow"])}))

    return load_model(path, KIND, build, step)


class Farmer:
    """Draws noisy images with one evaluation of a student: one pass of every block. Option: `precision`."""

    name = "farmer"

    def __init__(self, student: FarmerStudent | str | Path, precision: str = "fp32"):
        self.student = load_student(student) if isinstance(student, str | Path) else student
        self.precision = checked_precision(precision, self.name)
        self._network = in_precision(
            self.student, precision, lambda student: [block.attn_blocks for block in student.blocks]
        )
        self._evaluate = CountedEvaluation(partial(evaluate, self._network, precision), self._network.blocks)

    @property
    def latent_shape(self) -> tuple[int, int]:
        return self.student.spec.flow.n_tokens, self.student.spec.flow.token_dim

    @property
    def n_classes(self) -> int | None:
        return self.student.spec.flow.n_classes

    @property
    def flow_spec(self) -> TarFlowSpec:
        """Architecture of the flow that the student learned from."""
        return self.student.spec.flow

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.student.parameters())

    @property
    def settings(self) -> dict[str, Any]:
        return {"precision": "bf16"} if self.precision == "bf16" else {}

    def flops_per_image(self, guidance: float = 0.0) -> int:
        """Return the FLOPs of one image: one pass of every block, without the causal mask's savings."""
        return pass_flops(self.student.spec.flow)

    def to(self, device: torch.device) -> Self:
        self.student.to(device)
        self._network.to(device)
        self._evaluate.clear()
        return self

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor | None, guidance: float = 0.0) -> Sampled:
        """Evaluate the student once; see `nfbench.sample.sampler.Sampler`.

        Raises:
            UserError: guidance is asked for, which the student was not trained with.
        """
        if guidance:
            raise UserError(f"{self.name} was trained without guidance; set its scale to 0.")
        given = [z] if y is None else [z, y]
        tokens, nfe, token_steps = self._evaluate(*given)
        return Sampled(self.student.to_images(tokens), nfe=nfe, token_steps=token_steps)


def evaluate(student: FarmerStudent, precision: str, z: Tensor, y: Tensor | None = None) -> Tensor:
    """Evaluate a student in a precision; return the images' tokens, (B, T, D)."""
    with autocast(z.device, precision):
        return student(z, y)
