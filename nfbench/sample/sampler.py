"""The one interface that a contestant meets, and the registry of those that exist."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from nfbench.errors import UserError, closest

if TYPE_CHECKING:  # tables ask the registry about names alone, and importing torch takes seconds
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
        sweeps: fixed-point sweeps per block, mean over images, data side first; None for samplers that
            make none.
        score_evaluations: forward-and-backward passes spent on denoising.
    """

    images: "Tensor"
    nfe: float
    token_steps: float | None = None
    sweeps: list[float] | None = None
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


@dataclass(frozen=True)
class Entry:
    """A registered sampler.

    Attributes:
        summary: one line on it.
        build: takes a model or the path of its checkpoint, and options as keywords.
        demo: makes a small model with random weights, for timing without training.
        exact: whether it inverts the forward flow exactly, so that it may be a speed baseline.
        learned: whether it has a model of its own, trained after the flow.
        output: "noisy" when the samples carry the flow's training noise, else "clean".
        iterative: whether it stops at a threshold, option `tau`, so that speed is bought with error.
        demo_flow: makes a small forward flow for timing, where `build` takes one beside the model, as the
            option `flow`; None where it takes none.
    """

    summary: str
    build: Callable[..., Sampler]
    demo: Callable[[], Any]
    exact: bool
    learned: bool
    output: Literal["noisy", "clean"]
    iterative: bool = False
    demo_flow: Callable[[], Any] | None = None


_registry: dict[str, Entry] = {}


def register(name: str, entry: Entry) -> None:
    """Make a sampler known under `name`.

    Raises:
        ValueError: the name is taken.
    """
    if name in _registry:
        raise ValueError(f"a sampler named {name!r} is registered already")
    _registry[name] = entry


def samplers() -> dict[str, str]:
    """Return {name: one line on it} for every sampler whose package has been imported."""
    return {name: entry.summary for name, entry in _registry.items()}


def entry(name: str) -> Entry:
    """Look a sampler up.

    Raises:
        UserError: no such sampler is registered.
    """
    if name not in _registry:
        raise UserError(
            f"Unknown sampler '{name}'; {closest(name, list(_registry))} Samplers register when their"
            " package is imported: `import baselines` the inverses of TARFlow, `import biflow` the"
            " learned reverses."
        )
    return _registry[name]


def make_sampler(name: str, model: Any, **options: Any) -> Sampler:
    """Build a sampler from its model, or from the path of the model's checkpoint.

    Args:
        name: a key of `samplers()`.
        model: a forward flow for the exact and iterative inverses, a reverse model for learned ones.
        options: the sampler's own, e.g. annealed=True.

    Raises:
        UserError: the name is unknown, or the checkpoint missing, corrupt or of another kind.
        TypeError: the sampler has no such option.
    """
    return entry(name).build(model, **options)
