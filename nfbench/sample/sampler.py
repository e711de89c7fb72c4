"""The one interface that a sampler has, what it returns, and the options that it is made with."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nfbench.files import read_json

if TYPE_CHECKING:  # importing torch takes seconds
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Sampled:
    """A batch of samples and what it cost.

    Attributes:
        images: (B, c, H, W), nominally in [-1, 1], not clamped.
        nfe: serial evaluations of the whole network (for a flow: block evaluations / K), mean over images.
        token_steps: tokens evaluated, summed over serial calls, mean over images; None where tokens play
            no part.
        iterations: of the fixed point per block, mean over images, data side first; None for samplers that
            make none.
        score_evaluations: forward-and-backward passes spent on denoising.
    """

    images: "Tensor"
    nfe: float
    token_steps: float | None = None
    iterations: list[float] | None = None
    score_evaluations: int = 0

    def replace(self, **changes: Any) -> "Sampled":
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


class Sampler(Protocol):
    """Turns noise into images; all that the benchmark knows of a method."""

    name: str

    @property
    def latent_shape(self) -> tuple[int, int]:
        """(T, D) of one image's noise."""

    @property
    def n_classes(self) -> int | None:
        """Number of classes, None for an unconditional model."""

    @property
    def n_parameters(self) -> int:
        """Parameters of the networks that sampling evaluates."""

    @property
    def settings(self) -> dict[str, Any]:
        """The options in effect, as plain values that JSON can hold."""

    def to(self, device: "torch.device") -> "Sampler":
        """Move the networks; returns the sampler itself."""

    def sample(self, z: "Tensor", y: "Tensor | None", guidance: float = 0.0) -> Sampled:
        """Map noise (B, T, D) and class ids (B,), -1 for none, to images (B, c, H, W).

        Deterministic: randomness comes in through z and y. Never mutates its arguments.
        """


def options_in_effect(
    row: Mapping[str, Any], plan: str | Path | None, tolerance: str | Path | None
) -> dict[str, Any]:
    """Return a row's options, completed by what was chosen for it.

    Args:
        row: a `SamplerRow` as a dict.
        plan: file of the plan of GS-Jacobi; it has the number of modules.
        tolerance: file of the tuned tolerance. Where none was harmless the published one stays.
    """
    options = dict(row["options"])
    if plan:
        options.pop("modules", None)
        options["plan"] = read_json(plan)["plan"]
    if tolerance:
        del options["tolerance"]
        found = read_json(tolerance)["tolerance"]
        options |= {} if found is None else {"tolerance": found}
    return options
