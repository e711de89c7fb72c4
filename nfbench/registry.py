"""The sampler types: where each is implemented, what it is, and the options that it takes.

This table is all that the workflow asks about a sampler. It imports no torch, so that an experiment is
checked before anything slow starts. A sampler of one's own needs no entry, see `own_type`.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nfbench.errors import UserError, closest

ROOT = Path(__file__).resolve().parents[1]
DENOISED = "+denoise"  # at the end of a name: the same, denoised with the flow's score


def _no_bool(value: Any) -> Any:
    """Refuse yes and no where a number is asked for: Python takes them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number is needed, not yes or no")
    return value


Int = Annotated[int, BeforeValidator(_no_bool)]
Float = Annotated[float, BeforeValidator(_no_bool)]
Count = Annotated[Int, Field(ge=1)]
Positive = Annotated[Float, Field(gt=0)]
NonNegative = Annotated[Float, Field(ge=0)]


class Options(BaseModel):
    """Options that every sampler takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strength: Float = Field(1.0, description="Strength of score-based denoising; 1 is the posterior mean.")


class NetworkOptions(Options):
    """Options of a sampler that evaluates a network."""

    precision: Literal["fp32", "bf16"] = Field("fp32", description="Precision of matrix products.")


class InverseOptions(NetworkOptions):
    """Options of an inverse of the flow."""

    guide: Literal["ab", "a", "b"] = Field("ab", description="What is guided: a log-scale, b shift.")
    annealed: bool = Field(False, description="Let the guidance scale grow with the token's position.")
    attention_temperature: Positive = Field(
        1.0, description="Divides the attention logits of the unconditional pass."
    )


class StaticOptions(InverseOptions):
    """Options of an inverse that solves some or all blocks token by token, fast."""

    compile: bool = Field(False, description="Send the step of a single token through torch.compile.")


class FixedPointOptions(StaticOptions):
    """Options of an iterative inverse."""

    tolerance: NonNegative | Literal["tuned"] | None = Field(
        None,
        description="An image has converged when no value changed by this much in an iteration; null: as"
        " published; tuned: the largest that leaves the Frechet distance alone.",
    )
    max_iterations: Count | None = Field(
        None, description="Most iterations on a block or module; null: as many as make it exact."
    )
    init: Literal["z", "zeros"] = Field("z", description="What unknown tokens start from.")
    clamp: Positive | None = Field(None, description="Bound on the values after every iteration.")
    batch_wide: bool = Field(
        False,
        description="Iterate until every image has converged, as published; images then depend on the batch.",
    )
    check_every: Count | None = Field(None, description="Iterations between checks of convergence on a GPU.")


class SelectiveOptions(FixedPointOptions):
    """Options of selective Jacobi decoding, with its published defaults."""

    tolerance: NonNegative | Literal["tuned"] = Field(0.5, description="As of jacobi; 0.5 as published.")
    init: Literal["z", "zeros"] = Field("zeros", description="As of jacobi; zeros as published.")


class ModularOptions(StaticOptions):
    """Options of GS-Jacobi; what tokens start from is chosen for every block."""

    tolerance: NonNegative | Literal["tuned"] | None = Field(None, description="As of jacobi.")
    max_iterations: Count | None = Field(None, description="As of jacobi.")
    clamp: Positive | None = Field(None, description="As of jacobi.")
    batch_wide: bool = Field(False, description="As of jacobi.")
    check_every: Count | None = Field(None, description="As of jacobi.")
    stale_keys: bool = Field(
        False, description="Let later modules see the keys of the last guess, as published; needs batch_wide."
    )
    modules: Count | None = Field(
        None, description="Modules that a hard block is cut into; must divide the number of tokens."
    )


class OneStepOptions(NetworkOptions):
    """Options of a learned reverse."""

    # A number inside a value of --config comes as text.
    evaluations: Annotated[Literal[1, 2], BeforeValidator(lambda n: {"1": 1, "2": 2}.get(str(n), n))] = Field(
        1, description="Evaluations of a guided image: 1 of a model trained with guidance, 2 of any."
    )
    compile: bool = Field(False, description="Send the layers through torch.compile.")
    graph: bool = Field(True, description="Replay a CUDA graph on a GPU.")


@dataclass(frozen=True)
class SamplerType:
    """A sampler type.

    Attributes:
        target: "module:Class" or "FILE.py:Class"; the class is built as Class(network, **options).
        summary: one line on it.
        options: model of its options; None for a class of one's own, whose keywords are looked at.
        draws_from: "flow" for inverses, "reverse" for learned samplers, "data" for real images.
        output: "noisy" when samples carry the flow's training noise, else "clean".
        exact: whether it inverts the flow exactly, so that it may be a baseline of speed.
        iterative: whether it stops at a tolerance, so that speed is bought with error.
        keywords: those that a class of one's own takes; None where any is taken.
    """

    target: str
    summary: str
    options: type[Options] | None = Options
    draws_from: Literal["flow", "reverse", "data"] = "flow"
    output: Literal["noisy", "clean"] = "noisy"
    exact: bool = False
    iterative: bool = False
    keywords: tuple[str, ...] | None = None

    @property
    def learned(self) -> bool:
        """Whether it draws from a model that is trained after the flow."""
        return self.draws_from == "reverse"


_TARFLOW = "baselines.tarflow"
_ONE_STEP = {"options": OneStepOptions, "draws_from": "reverse", "output": "clean"}
TYPES: dict[str, SamplerType] = {
    "real": SamplerType("", "real test images", draws_from="data", output="clean"),
    "real+noise": SamplerType("", "real test images with the flow's training noise", draws_from="data"),
    "class-means": SamplerType("", "the mean image of each class", draws_from="data", output="clean"),
    "sequential": SamplerType(
        f"{_TARFLOW}.sequential:Sequential",
        "exact inverse, one token at a time, growing cache (as published)",
        InverseOptions,
        exact=True,
    ),
    "sequential-static": SamplerType(
        f"{_TARFLOW}.static:SequentialStatic",
        "exact inverse, one token at a time, preallocated cache",
        StaticOptions,
        exact=True,
    ),
    "published-loop": SamplerType(
        f"{_TARFLOW}.published_loop:PublishedLoop",
        "exact inverse, the published sampling loop restated plainly",
        NetworkOptions,
        exact=True,
    ),
    "jacobi": SamplerType(
        f"{_TARFLOW}.jacobi:Jacobi",
        "fixed-point inverse, all tokens of a block at once",
        FixedPointOptions,
        iterative=True,
    ),
    "gs-jacobi": SamplerType(
        f"{_TARFLOW}.jacobi:GSJacobi",
        "fixed-point inverse, hard blocks in modules (arXiv:2505.12849)",
        ModularOptions,
        iterative=True,
    ),
    "selective-jacobi": SamplerType(
        f"{_TARFLOW}.jacobi:SelectiveJacobi",
        "first block one token at a time, the others by fixed point (SeJD, arXiv:2505.24791)",
        SelectiveOptions,
        iterative=True,
    ),
    "biflow": SamplerType("biflow.sampler:OneStep", "learned reverse, hidden alignment", **_ONE_STEP),
    "biflow-naive": SamplerType("biflow.sampler:OneStep", "learned reverse, naive distillation", **_ONE_STEP),
    "biflow-hidden": SamplerType(
        "biflow.sampler:OneStep", "learned reverse, hidden distillation", **_ONE_STEP
    ),
    "farmer": SamplerType(
        "baselines.farmer:Farmer",
        "the flow's weights made bidirectional, one evaluation (FARMER, arXiv:2510.23588)",
        NetworkOptions,
        draws_from="reverse",
    ),
}
OBJECTIVES = {"alignment": "biflow", "naive": "biflow-naive", "hidden": "biflow-hidden", "farmer": "farmer"}


def sampler_type(name: str) -> SamplerType:
    """Look a type up by its name, or read the flags of a class of one's own, "FILE.py:Class".

    Raises:
        UserError: there is none; the nearest name is told.
    """
    if ".py:" in name:
        return own_type(name)
    if name not in TYPES:
        raise UserError(
            f"There is no sampler '{name}'; {closest(name, list(TYPES))} A sampler of your own is named by"
            " its file and class, e.g. type: my_sampler.py:MySampler."
        )
    return TYPES[name]


def own_file(name: str) -> Path:
    """Return the file of "FILE.py:Class": below the working directory, else beside the Snakefile.

    Raises:
        UserError: there is none.
    """
    file = name.partition(":")[0]
    for folder in (Path(), ROOT):
        if (folder / file).is_file():
            return folder / file
    raise UserError(f"There is no file {file}, which the sampler type '{name}' names; check its path.")


def own_type(name: str) -> SamplerType:
    """Describe a class of one's own from its source, without importing it.

    Class attributes say what it is: `output` ("clean" or "noisy", required), `draws_from` ("flow" or
    "reverse"), `exact`, `iterative`. The keywords of `__init__` after the network are its options.

    Raises:
        UserError: the file or class is missing, is no Python, or does not say its output.
    """
    path, wanted = own_file(name), name.partition(":")[2]
    try:
        tree = ast.parse(path.read_text())
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no Python file ({error}); mend it.") from None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if wanted not in classes:
        raise UserError(f"{path} has no class '{wanted}'; {closest(wanted, list(classes))}")
    flags = _literals(classes[wanted])
    if flags.get("output") not in ("clean", "noisy"):
        raise UserError(
            f'{path}: class \'{wanted}\' must say what its images are: write output = "clean" (or "noisy",'
            " with the flow's training noise) in its body."
        )
    if flags.get("draws_from", "flow") not in ("flow", "reverse"):
        raise UserError(f"{path}: 'draws_from' of class '{wanted}' must be \"flow\" or \"reverse\".")
    known = {key: flags[key] for key in ("output", "draws_from", "exact", "iterative") if key in flags}
    summary = (ast.get_docstring(classes[wanted]) or wanted).splitlines()[0]
    return SamplerType(name, summary, None, **known, keywords=_keywords(classes[wanted]))


def _literals(node: ast.ClassDef) -> dict[str, Any]:
    """Return the class attributes that are assigned literals."""
    found = {}
    for each in node.body:
        targets = each.targets if isinstance(each, ast.Assign) else [getattr(each, "target", None)]
        value = getattr(each, "value", None)
        if isinstance(value, ast.Constant):
            found |= {target.id: value.value for target in targets if isinstance(target, ast.Name)}
    return found


def _keywords(node: ast.ClassDef) -> tuple[str, ...] | None:
    """Return what `__init__` takes beside self and the network; None where it takes anything."""
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            if each.args.kwarg:
                return None
            return tuple(arg.arg for arg in [*each.args.args[2:], *each.args.kwonlyargs])
    return None if node.bases else ()


def load_class(target: str) -> type:
    """Import the class that a target names.

    Raises:
        UserError: a file of one's own cannot be imported, or has no such class.
    """
    module, _, name = target.partition(":")
    if not module.endswith(".py"):
        return getattr(importlib.import_module(module), name)
    path = own_file(target)
    spec = importlib.util.spec_from_file_location(f"own_sampler_{path.stem}", path)
    loaded = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(loaded)
        return getattr(loaded, name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"The sampler '{target}' cannot be loaded: {error}.") from None
    finally:
        sys.path.remove(str(path.parent))


def check_options(name: str, options: Mapping[str, Any], denoise: bool) -> dict[str, Any]:
    """Return the options of a sampler as given, checked: names, types and bounds.

    Args:
        name: a key of TYPES or "FILE.py:Class".
        denoise: whether its images are denoised with the flow's score, which alone has a `strength`.

    Raises:
        UserError: the sampler has no such option, or the value does not fit.
    """
    kind = sampler_type(name)
    own = [] if kind.options is not None else list(options if kind.keywords is None else kind.keywords)
    known = ["strength", *own] if kind.options is None else list(kind.options.model_fields)
    for option in options:
        if option not in known:
            raise UserError(f"'{name}' has no option '{option}'; {closest(option, known)}")
    if "strength" in options and not denoise and "strength" not in own:
        raise UserError(
            f"'strength' is an option of denoising; draw from '{name}{DENOISED}', or leave it out."
        )
    if kind.options is not None:
        try:
            return kind.options(**options).model_dump(exclude_unset=True)
        except ValidationError as error:
            first = error.errors()[0]
            message = first["msg"].removeprefix("Value error, ")
            raise UserError(
                f"the option '{first['loc'][0]}' of '{name}' is {first['input']!r}:"
                f" {message[0].lower()}{message[1:]}."
            ) from None
    return dict(options)
