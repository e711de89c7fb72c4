"""The keys of an experiment file: type, default, bounds, description and cross-checks of each, once.

`nfbench.experiment` reads files of these keys; `nfbench.config_docs` prints them.
"""

import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nfbench.errors import UserError, closest
from nfbench.registry import Count, Float, Int, NonNegative, Positive, sampler_type

# Standard number of validation images, by data set; trained classifiers and references are shared at it.
VALIDATION = {"fashion14": 5000, "fashion": 5000, "digits": 200}


Natural = Annotated[Int, Field(ge=0)]
Share = Annotated[Float, Field(ge=0, le=1)]
Weights = dict[Literal["effnet", "classifier", "lpips-vgg", "convnext-v2"], Positive]
Space = Literal["effnet", "classifier", "inception", "dinov2"]
Unique = BeforeValidator(lambda value: _unique(value))


def _unique(value: Any) -> Any:
    if isinstance(value, list) and len(set(map(str, value))) < len(value):
        raise ValueError("every item may be there once only")
    return value


class Section(BaseModel):
    """A section of an experiment file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    """Which images."""

    name: Literal["fashion14", "digits", "fashion"] = Field(description="Data set.")
    validation: Natural | None = Field(
        None, description="Training images kept for validation; null: the data set's standard number."
    )
    folder: str | None = Field(
        None, description="Where the files of the data set are; null: found or embedded."
    )

    @property
    def validation_size(self) -> int:
        """Number of validation images."""
        return VALIDATION[self.name] if self.validation is None else self.validation

    @property
    def dataset(self) -> str:
        """Name of the folder that experiments on the same images share."""
        standard = self.validation_size == VALIDATION[self.name]
        return self.name if standard else f"{self.name}-validation{self.validation_size}"


class TrainingConfig(Section):
    """One training."""

    steps: Natural = Field(description="Optimiser steps; 0 leaves random weights, for speed alone.")
    batch_size: Count = Field(64, description="Images a step.")
    optimizer: Literal["muon", "adamw"] = Field(
        "muon",
        description="muon: Muon for weights inside the network, AdamW for the rest; adamw: as published.",
    )
    learning_rate: Positive = Field(0.005, description="Peak learning rate of AdamW.")
    muon_learning_rate: Positive = Field(0.02, description="Peak learning rate of Muon.")
    weight_decay: NonNegative = Field(1e-4, description="Decoupled weight decay of both.")
    warmup_steps: Natural = Field(100, description="Steps of linear warm-up.")
    decay: Literal["cosine", "linear"] = Field(
        "cosine", description="How learning rates fall after the warm-up; cosine: as published."
    )
    final_learning_rate_fraction: Share = Field(0.01, description="Last learning rate over the peak.")
    gradient_clip: Positive | None = Field(1.0, description="Largest gradient norm; null for no clipping.")
    ema_decay: Annotated[Float, Field(ge=0, lt=1)] = Field(
        0.998, description="Decay of the EMA weights, which are kept; 0 keeps the last weights."
    )
    evaluate_every: Count = Field(200, description="Steps between rows of the training curve.")


class FlowConfig(Section):
    """A forward flow, TARFlow (arXiv:2412.06329), and its training; `extends: NAME` copies another."""

    patch_size: Count = Field(description="Side of a patch, pixels; must divide the image's side.")
    width: Annotated[Int, Field(ge=4)] = Field(description="Model width C.")
    blocks: Count = Field(description="Flow blocks K.")
    layers: Count = Field(description="Transformer layers in each block.")
    head_dim: Annotated[Int, Field(ge=4)] = Field(64, description="Width of an attention head.")
    sigma: Positive = Field(0.1, description="Training noise, in units of [-1, 1].")
    clip: Positive | None = Field(None, description="Bound on log-scales and shifts; null for none.")
    class_dropout_prob: Share = Field(0.1, description="Probability of training without the class.")
    shape: tuple[Count, Count, Count] | None = Field(
        None, description="Channels, height, width of images; only with steps: 0, else those of the data."
    )
    n_classes: Count | None = Field(None, description="Number of classes, with shape.")
    training: TrainingConfig = Field(description="Its training.")
    checkpoints: Annotated[list[Count], Unique] = Field(
        [], description="Steps at which the EMA weights are kept as well; each makes rows of its own."
    )


class ReverseConfig(Section):
    """A learned reverse of a frozen flow (BiFlow, arXiv:2512.10953); `extends: NAME` copies another."""

    flow: str = Field("flow", description="Name of the flow it undoes.")
    objective: Literal["alignment", "naive", "hidden", "farmer"] = Field(
        description="alignment: hidden alignment; naive and hidden: distillation; farmer: one-step"
        " distillation from the flow's own weights (arXiv:2510.23588)."
    )
    width: Annotated[Int, Field(ge=4)] | None = Field(
        None, description="Model width C; farmer has the flow's."
    )
    layers: Count | None = Field(
        None, description="Transformer layers in each stage; one stage per flow block and one that denoises."
    )
    head_dim: Annotated[Int, Field(ge=4, multiple_of=4)] = Field(64, description="Width of a head.")
    class_dropout_prob: Share = Field(0.1, description="Probability of training without the class.")
    normalisation: Literal["state", "token", "none"] = Field(
        "state", description="Units of matched states: RMS of each state; of each token's place; none."
    )
    denoising: Literal["learned", "none"] = Field(
        "learned", description="learned: one more stage, clean images; none: noisy images."
    )
    adaptive_weight: bool = Field(False, description="Divide every loss term by its own size.")
    perceptual: Weights = Field({}, description="Perceptual distances beside the MSE, with their weights.")
    energy: Weights = Field({}, description="Energy distances of prior samples to the data, with weights.")
    energy_start: Share = Field(0.8, description="Part of the steps before the energy distances begin.")
    conditioning: Literal["added", "in-context", "extrapolated"] = Field(
        "added", description="How class and guidance scale enter a stage."
    )
    guidance_max: NonNegative = Field(0.0, description="Largest scale of training-time guidance; 0: none.")
    guidance_prob: Annotated[Float, Field(gt=0, le=1)] = Field(
        1.0, description="Part of the images that train with guidance."
    )
    training: TrainingConfig = Field(description="Its training.")
    checkpoints: Annotated[list[Count], Unique] = Field([], description="As of a flow.")

    @property
    def output(self) -> Literal["clean", "noisy"]:
        """Whether its images carry the flow's training noise."""
        return "clean" if self.denoising == "learned" and self.objective != "farmer" else "noisy"

    @model_validator(mode="after")
    def _fits_together(self) -> "ReverseConfig":
        if wrong := _reverse_problem(self):
            raise ValueError(wrong)
        return self


def _reverse_problem(config: ReverseConfig) -> str | None:
    """Return which keys of a reverse contradict each other, and what to change; None if none do."""
    farmer = config.objective == "farmer"
    if farmer and (config.width or config.layers):
        return "a farmer has the flow's architecture; leave 'width' and 'layers' out"
    if not farmer and not (config.width and config.layers):
        return "the keys 'width' and 'layers' are needed; add them"
    for key in ("perceptual", "energy"):
        if getattr(config, key) and config.output == "noisy":
            return f"'{key}' compares clean images; set 'denoising' to 'learned' or leave it out"
    if config.energy and config.training.batch_size < 2:
        return "'energy' compares the images of a batch; set 'training.batch_size' to 2 or more"
    if config.guidance_max and config.objective != "alignment":
        return "'guidance_max' is defined for the objective alignment; set it to 0"
    if config.guidance_max and not config.class_dropout_prob:
        return "guidance leads away from images without class; set 'class_dropout_prob' above 0"
    if not config.guidance_max and (config.guidance_prob != 1 or config.conditioning == "extrapolated"):
        return "'guidance_prob' and 'conditioning: extrapolated' do nothing without 'guidance_max'"
    return None


class SamplingConfig(Section):
    """The sample sets."""

    n_samples: Annotated[Int, Field(ge=10)] = Field(description="Images of every sampler and seed.")
    batch_size: Count = Field(125, description="Images drawn at a time; changes no image.")
    guidance: NonNegative = Field(0.0, description="Scale of guidance, where a sampler gives none.")


class TuningConfig(Section):
    """The search for tolerances that are 'tuned', on noise of its own, in the classifier's features."""

    tolerances: Annotated[list[Positive], Field(min_length=1), Unique] = Field(
        [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001],
        description="To try; the largest harmless one is taken.",
    )
    n_samples: Annotated[Int, Field(ge=130)] = Field(500, description="Images a tolerance and noise seed.")
    seeds: Annotated[Int, Field(ge=2)] = Field(4, description="Sets of noise, for the interval.")


class QualityConfig(Section):
    """The distances to the reference."""

    spaces: Annotated[list[Space], Field(min_length=1), Unique] = Field(
        description="Feature spaces: effnet, classifier; inception and dinov2 need files of their own."
    )
    n_reference: Annotated[Int, Field(ge=10)] = Field(description="Class-balanced training images.")
    kid_subsets: Count = Field(25, description="Random subsets that KID averages over.")
    n_splits: Annotated[Int, Field(ge=2)] = Field(
        10, description="Random splits into halves, for the intervals of Frechet distances."
    )


class LikelihoodConfig(Section):
    """The flow's likelihood of test images."""

    bits_per_dim: bool = Field(
        False, description="Measure bits of uniformly dequantised images too; doubles the job's time."
    )


class SpeedConfig(Section):
    """The speed benchmark: independent processes in random order, one sampler timed against itself."""

    batch_sizes: Annotated[list[Count], Field(min_length=1), Unique] = Field(
        [1, 64], description="Images a call."
    )
    guidance: Annotated[list[NonNegative], Field(min_length=1), Unique] = Field(
        [0.0], description="Scales that samplers without one of their own are timed at."
    )
    precisions: Annotated[list[Literal["fp32", "tf32", "bf16"]], Field(min_length=1), Unique] | None = Field(
        None, description="Of matrix products, all samplers alike; null: fp32, on a GPU tf32 and bf16 too."
    )
    repetitions: Count = Field(3, description="Processes of every sampler; intervals are over them.")
    seconds: Positive = Field(0.3, description="Time for the calls of a batch size and scale in a process.")
    min_calls: Annotated[Int, Field(ge=2)] = Field(3, description="Calls timed even where they take longer.")
    seed: Natural = Field(0, description="Seed of the order.")
    replicate: str | None = Field(
        None, description="Sampler that is timed twice a repetition; null: the first."
    )


class EditingConfig(Section):
    """Inpainting and class editing of test images."""

    n_images: Annotated[Int, Field(ge=10)] = Field(500, description="Class-balanced test images.")


class SamplerRow(Section):
    """A row of the tables, with everything that is known of it; made by `resolve_samplers`."""

    name: str
    group: str
    type: str
    flow: str | None = None
    reverse: str | None = None
    options: dict[str, Any] = {}
    denoise: bool = False
    output: Literal["clean", "noisy"]
    exact: bool = False
    iterative: bool = False
    learned: bool = False
    guidance: float = 0.0
    step: int | None = None
    factor: str | None = None
    title: str | None = None
    quality: bool = True
    speed: bool = True

    @property
    def draws(self) -> bool:
        """Whether a network draws its images, rather than that they are taken from the data."""
        return sampler_type(self.type).draws_from != "data"


class SamplerEntry(Section):
    """One item under `samplers`, as it stands in the file; other keys are options of the sampler."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str | None = Field(None, description="Sampler type, or FILE.py:Class of your own.")
    reverse: str | None = Field(None, description="In place of type: the learned reverse it draws from.")
    extends: str | None = Field(None, description="Another sampler, whose keys are copied.")
    flow: str | None = Field(None, description="Flow that it inverts; default: the first.")
    denoise: bool = Field(False, description="Denoise noisy images with the flow's score.")
    guidance: NonNegative | list[NonNegative] | None = Field(None, description="Scale; a list makes a sweep.")
    factor: str | None = Field(None, description="What it changes, which puts it into the ablations.")
    title: str | None = Field(None, description="What it is called in tables.")
    speed: bool = Field(True, description="Whether it is timed.")
    quality: bool = Field(True, description="Whether its images are drawn and measured.")


class Experiment(Section):
    """A whole experiment file."""

    experiment: str = Field("", description="Name: that of the file, where this is left out.")
    base: str | None = Field(None, description="Another experiment file, which this one is laid over.")
    experiments: Annotated[list[str], Unique] = Field(
        [], description="Experiments whose rows are joined in the tables; default: this one."
    )
    seeds: Annotated[list[Natural], Field(min_length=1), Unique] = Field([0], description="Seeds.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes the GPU where there is one."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on a GPU, else fp32.")
    compile: Literal["auto", "never"] = Field("auto", description="auto compiles long trainings on a GPU.")
    threads_per_training: Count | None = Field(None, description="Cores of one training; null: all.")
    data: DataConfig
    flows: dict[str, FlowConfig] = Field(min_length=1, description="Forward flows by name.")
    reverses: dict[str, ReverseConfig] = Field({}, description="Learned reverses by name.")
    samplers: list[SamplerRow] = Field(min_length=1, description="Rows of the tables, in this order.")
    sampling: SamplingConfig
    tuning: TuningConfig = TuningConfig()
    quality: QualityConfig | None = Field(None, description="Left out: no quality is measured.")
    likelihood: LikelihoodConfig = LikelihoodConfig()
    speed: SpeedConfig | None = Field(None, description="Left out: nothing is timed.")
    editing: EditingConfig | None = Field(None, description="Left out: no image is edited.")

    @property
    def joined(self) -> list[str]:
        """Experiments whose rows the tables join."""
        return self.experiments or [self.experiment]

    def row(self, name: str) -> SamplerRow:
        """Look a row up by its name."""
        return next(row for row in self.samplers if row.name == name)

    def truth_of(self, row: SamplerRow) -> SamplerRow | None:
        """Return the exact inverse that a row's images are compared with; None where none is listed.

        It inverts the same weights of the same flow at the same guidance, and its images are of the same
        kind, clean or noisy. A learned reverse of any step is one of the flow's final weights.
        """

        def key(each: SamplerRow) -> tuple[Any, ...]:
            return each.flow, None if each.learned else each.step, each.guidance, each.output

        rows = (each for each in self.samplers if each.exact and each.quality and row.draws)
        return next((each for each in rows if key(each) == key(row)), None)


def validated(model: type[BaseModel], values: Mapping[str, Any], source: str) -> Any:
    """Build a pydantic model of plain values.

    Raises:
        UserError: one sentence that names the file, the key, and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{source}: {_sentence(model, values, error)}") from None


def _sentence(model: type[BaseModel], values: Mapping[str, Any], error: ValidationError) -> str:
    # A misspelt key is also a missing one: name the cause, not what follows from it.
    order = ("extra_forbidden", "missing")
    details = sorted(error.errors(), key=lambda each: (order + (each["type"],)).index(each["type"]))
    first = details[0]
    # pydantic names the members of a union among the keys, e.g. "str" and "list[int]"
    place = [str(part) for part in first["loc"] if part != "str" and not str(part).endswith("]")]
    *inside, key = place or ["the file"]
    where = f" in '{'.'.join(inside)}'" if inside else ""
    if first["type"] == "extra_forbidden":
        known = list(_model_at(model, values, inside).model_fields)
        return f"unknown key '{key}'{where}; {closest(key, known)}"
    if first["type"] == "missing":
        return f"the key '{key}' is missing{where}; add it."
    if first["type"] == "literal_error":
        allowed = re.findall(r"'([^']+)'", first["ctx"]["expected"])
        return f"'{'.'.join(place)}' is {first['input']!r}; {closest(str(first['input']), allowed)}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error" and isinstance(first["input"], dict):
        return f"'{'.'.join(place)}': {message}."
    return f"'{'.'.join(place)}' is {first['input']!r}: {message[0].lower()}{message[1:]}."


def _model_at(model: type[BaseModel], values: Any, path: list[str]) -> type[BaseModel]:
    """Follow keys down to the model of a section."""
    for part in path:
        hint = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else model
        found = [each for each in _inner(hint) if isinstance(each, type) and issubclass(each, BaseModel)]
        model = found[0] if found else model
    return model


def _inner(hint: Any) -> Iterator[Any]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint):
        for part in typing.get_args(hint):
            yield from _inner(part)
    else:
        yield hint
