"""An experiment file, checked against its schema and turned into frozen dataclasses."""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nfbench.errors import UserError, closest


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how many of them are kept for validation."""

    name: str
    validation_size: int
    folder: str | None = None


@dataclass(frozen=True)
class TrainingConfig:
    """One training; see workflow/schemas/config.schema.yaml for each key."""

    steps: int
    batch_size: int
    optimizer: str
    learning_rate: float
    muon_learning_rate: float = 0.02
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    final_learning_rate_fraction: float = 0.01
    gradient_clip: float | None = 1.0
    ema: float = 0.998
    evaluate_every: int = 200


@dataclass(frozen=True)
class ForwardConfig:
    """The forward flow and its training."""

    patch_size: int
    width: int
    blocks: int
    layers_per_block: int
    sigma: float
    training: TrainingConfig
    head_dim: int = 64
    clip: float | None = None
    label_drop: float = 0.1


@dataclass(frozen=True)
class ReverseConfig:
    """A learned reverse model and its training; see workflow/schemas/config.schema.yaml for each key."""

    width: int
    layers_per_group: int
    training: TrainingConfig
    head_dim: int = 64
    label_drop: float = 0.1
    normalisation: str = "state"
    denoising: str = "learned"
    adaptive_weight: bool = False
    perceptual: dict[str, float] = field(default_factory=dict)
    energy: dict[str, float] = field(default_factory=dict)
    energy_from: float = 0.8
    conditioning: str = "added"
    guidance_max: float = 0.0
    guidance_share: float = 1.0


@dataclass(frozen=True)
class StudentConfig:
    """A learned reverse with the flow's own architecture, and its training; keys as in `ReverseConfig`."""

    training: TrainingConfig
    label_drop: float = 0.1
    normalisation: str = "state"


@dataclass(frozen=True)
class TuningConfig:
    """The search for the largest threshold of an iterative inverse that leaves its samples alone."""

    taus: list[float] = field(default_factory=lambda: [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001])
    n_samples: int = 500
    seeds: int = 4


@dataclass(frozen=True)
class SamplingConfig:
    """Which sample sets are drawn, and with what options of the samplers."""

    samplers: list[str]
    n_samples: int
    batch_size: int = 250
    guidance: float = 0.0
    options: dict[str, dict] = field(default_factory=dict)
    tuning: TuningConfig = field(default_factory=TuningConfig)


@dataclass(frozen=True)
class ClassifierConfig:
    """The domain classifier whose features are one of the spaces."""

    epochs: int
    width: int = 32
    batch_size: int = 128
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class QualityConfig:
    """What the sample sets are compared with, and in which feature spaces."""

    n_reference: int
    spaces: list[str]
    classifier: ClassifierConfig
    kid_subsets: int = 25
    half_pairs: int = 10


@dataclass(frozen=True)
class LikelihoodConfig:
    """The likelihood of test images."""

    draws: int = 4


@dataclass(frozen=True)
class FrontConfig:
    """The sweep of the iterative inverses' thresholds, speed against error."""

    taus: list[float] = field(default_factory=lambda: [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001, 0.0001])
    sweeps: list[int] = field(default_factory=lambda: [2, 4, 8, 16, 32])
    batch_sizes: list[int] = field(default_factory=lambda: [1, 64])
    rounds: int = 5


@dataclass(frozen=True)
class GuidanceConfig:
    """The sweep of the guidance scale; see workflow/schemas/config.schema.yaml for each key."""

    scales: list[float] = field(default_factory=lambda: [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
    n_samples: int = 3000
    annealed: bool = False


@dataclass(frozen=True)
class ProtocolConfig:
    """The protocol of speed, on request; see workflow/schemas/config.schema.yaml for each key."""

    processes: int = 4
    seconds: float = 0.1
    min_rounds: int = 3
    batch_sizes: list[int] = field(default_factory=lambda: [1, 16, 64, 256])
    guidance: list[float] = field(default_factory=lambda: [0.0, 1.0])
    seed: int = 0
    twin: str | None = None


@dataclass(frozen=True)
class SpeedConfig:
    """The wall-clock measurement."""

    batch_sizes: list[int]
    max_seconds: float = 4.0
    min_rounds: int = 5
    front: FrontConfig | None = None
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    references: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class EditingConfig:
    """Inpainting and class editing of held-out images."""

    n_images: int = 500


@dataclass(frozen=True)
class BudgetArm:
    """One curve: a learned reverse, and what of its section differs."""

    method: str
    change: dict = field(default_factory=dict)


@dataclass(frozen=True)
class BudgetConfig:
    """What training time buys: curves of learned reverses, and of the flow trained for longer by itself."""

    arms: dict[str, BudgetArm]
    forward_steps: list[int]
    n_samples: int = 2560


@dataclass(frozen=True)
class ExperimentConfig:
    """A whole experiment file."""

    experiment: str
    seeds: list[int]
    data: DataConfig
    forward: ForwardConfig
    reverse: dict[str, ReverseConfig | StudentConfig]
    sampling: SamplingConfig
    quality: QualityConfig
    speed: SpeedConfig
    likelihood: LikelihoodConfig = field(default_factory=LikelihoodConfig)
    editing: EditingConfig | None = None
    device: str = "auto"
    precision: str = "auto"
    compile: str = "auto"
    guidance: GuidanceConfig | None = None
    experiments: list[str] | None = None
    budget: BudgetConfig | None = None
    budget_experiment: str | None = None
    ablations: list[str] = field(default_factory=list)
    ablation_experiment: str | None = None
    threads_per_training: int | None = None


@dataclass(frozen=True)
class NarrowConfig:
    """What differs from a named size; see workflow/schemas/paper_speed.schema.yaml."""

    width: int
    layers: int
    head_dim: int = 64


@dataclass(frozen=True)
class PaperSpeedConfig:
    """A timing experiment at the paper's sizes; keys as in workflow/schemas/paper_speed.schema.yaml."""

    experiment: str
    sizes: list[str]
    samplers: list[str]
    batch_sizes: list[int]
    narrow: NarrowConfig | None = None
    guidance: list[float] = field(default_factory=lambda: [0.0])
    max_seconds: float = 4.0
    min_rounds: int = 5
    device: str = "auto"
    precision: str = "auto"
    compile: str = "auto"


def build(cls: type, values: dict[str, Any]) -> Any:
    """Build a config dataclass from plain values, nested ones included; absent keys take defaults."""
    hints = typing.get_type_hints(cls)
    return cls(**{key: _convert(hints[key], value) for key, value in values.items()})


def required_keys(cls: type) -> set[str]:
    """Return the keys of a config dataclass that have no default."""
    missing = dataclasses.MISSING
    return {f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is missing}


def _convert(hint: Any, value: Any) -> Any:
    if isinstance(hint, types.UnionType):  # a section that may be left out, or be of one of several kinds
        kinds = [part for part in hint.__args__ if dataclasses.is_dataclass(part)]
        fitting = [kind for kind in kinds if required_keys(kind) <= set(value or ())]
        hint = next(iter(fitting or kinds), hint)
    if dataclasses.is_dataclass(hint):
        return None if value is None else build(hint, value)
    if isinstance(hint, types.GenericAlias) and hint.__origin__ is dict:
        return {key: _convert(hint.__args__[1], item) for key, item in value.items()}
    return value


def check(values: dict[str, Any], schema: dict[str, Any], source: str) -> None:
    """Check plain values against a JSON schema.

    Raises:
        UserError: one sentence that names the file, the key, and the nearest thing that is allowed.
    """
    from jsonschema import Draft202012Validator

    errors = list(Draft202012Validator(schema).iter_errors(values))
    if errors:
        # A misspelt key is also a missing one: tell the cause, not what follows from it.
        first = min(errors, key=lambda error: (error.validator != "additionalProperties", len(error.path)))
        raise UserError(f"{source}: {_sentence(first)}")


def _sentence(error: Any) -> str:
    place = ".".join(str(part) for part in error.path)
    inside = f" in '{place}'" if place else ""
    if error.validator == "additionalProperties":
        known = sorted(error.schema["properties"])
        unknown = sorted(set(error.instance) - set(known))[0]
        return f"unknown key '{unknown}'{inside}; {closest(unknown, known)}"
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - set(error.instance))[0]
        return f"the key '{missing}' is missing{inside}; add it."
    if error.validator == "enum":
        allowed = [str(value) for value in error.validator_value]
        return f"'{place}' is '{error.instance}'; {closest(str(error.instance), allowed)}"
    return f"'{place}' is not allowed: {error.message}."


def read_checked(path: str | Path, schema: dict[str, Any], example: str) -> dict[str, Any]:
    """Read a YAML file and check it against a schema; returns the plain values.

    Args:
        example: a line that such a file may hold, for the message where it holds none.

    Raises:
        UserError: the file is missing, cannot be read, is no YAML, or is against the schema.
    """
    try:
        values = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(f"There is no experiment file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); name a YAML file, e.g. config/tiny.yaml."
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold keys and values, e.g. '{example}'.")
    check(values, schema, str(path))
    return values


def read_experiment(path: str | Path, schema: dict[str, Any]) -> dict[str, Any]:
    """Read and check one experiment file; see `read_checked`."""
    return read_checked(path, schema, f"experiment: {Path(path).stem}")
