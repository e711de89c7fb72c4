"""Reading an experiment file: what it takes from another, its checks, and the rows that it asks for.

Names of rows are labels; everything else about a row is an attribute.
"""

import copy
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from nfbench.config import Experiment, FlowConfig, ReverseConfig, SamplerEntry, SamplerRow, validated
from nfbench.errors import UserError, closest
from nfbench.provenance import driver
from nfbench.registry import DENOISED, OBJECTIVES, TYPES, check_options, sampler_type

RESERVED = ("data", "reference", "logs")  # folders of the results that are no experiment's


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of keys and values.

    Raises:
        UserError: it is missing, cannot be read, or is no such YAML.
    """
    try:
        values = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(f"There is no file {path}; check its name.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); name a YAML file.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold keys and values, e.g. 'base: fashion14'.")
    return values


def load_experiment(path: str | Path, values: Mapping[str, Any] | None = None) -> Experiment:
    """Read, complete and check an experiment file.

    Args:
        path: the file; `base` names another beside it, without the suffix.
        values: its content where that has been read already, e.g. with keys of the command line laid over it.

    Raises:
        UserError: one sentence that names the file, the key and what to change.
    """
    path = Path(path)
    plain = _with_base(dict(values) if values is not None else read_yaml(path), path, (path.stem,))
    plain.setdefault("experiment", path.stem)
    for section in ("flows", "reverses"):
        if isinstance(plain.get(section), dict):
            plain[section] = _extended(plain[section], f"{path}: '{section}")
    models = validated(_Models, plain, str(path))
    if models.experiment != path.stem:
        raise UserError(f"{path}: 'experiment' is '{models.experiment}'; leave it out, the file names it.")
    if models.experiment in RESERVED:
        raise UserError(f"{path}: '{models.experiment}' is a folder of the results; choose another name.")
    _check_models(models, str(path))
    rows = resolve_samplers(plain, models, str(path))
    on_a_cpu = models.device == "cpu" or (models.device == "auto" and driver() is None)
    if models.speed and on_a_cpu and "tf32" in (models.speed.precisions or ()):
        raise UserError(
            f"{path}: 'speed.precisions' has 'tf32', which a GPU alone has, and none is found; leave it out,"
            " or set 'device' to 'cuda'."
        )
    timed = [row.name for row in rows if row.speed]
    if models.speed and models.speed.replicate not in (None, *timed):
        near = closest(models.speed.replicate, timed)
        raise UserError(
            f"{path}: 'speed.replicate' is '{models.speed.replicate}', which is not timed; {near}"
        )
    plain["samplers"] = [row.model_dump() for row in rows]
    return validated(Experiment, plain, str(path))


class _Models(Experiment):
    """An experiment whose samplers are not resolved yet."""

    samplers: list[str | dict[str, dict[str, Any] | None]] = Field(min_length=1)  # type: ignore[assignment]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay keys over others, section by section; lists are replaced whole."""
    result = copy.deepcopy(dict(below))
    for key, value in above.items():
        nested = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if nested else copy.deepcopy(value)
    return result


def _with_base(values: dict[str, Any], path: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    base = values.get("base")
    if base is None:
        return values
    if base in seen:
        raise UserError(f"{path}: 'base' comes back to '{base}'; remove it from one of the files.")
    other = path.with_name(f"{base}.yaml")
    below = _with_base(read_yaml(other), other, (*seen, base))
    return merged({key: value for key, value in below.items() if key not in ("base", "experiment")}, values)


def _extended(section: Mapping[str, Any], where: str, key: str = "extends") -> dict[str, Any]:
    """Give every entry of a section the keys of the entry that it extends."""

    def complete(name: str, seen: tuple[str, ...]) -> Any:
        entry = section[name]
        if not isinstance(entry, Mapping) or key not in entry:
            return entry
        other = entry[key]
        if other not in section:
            raise UserError(f"{where}.{name}' extends '{other}'; {closest(str(other), list(section))}")
        if other in seen:
            raise UserError(f"{where}.{name}' extends itself by way of '{other}'; mend one of them.")
        own = {k: value for k, value in entry.items() if k != key}
        below = complete(other, (*seen, name))
        return merged(below, own) if isinstance(below, Mapping) else below

    return {name: complete(name, (name,)) for name in section}


def _check_models(models: Experiment, source: str) -> None:
    """Refuse flows and reverses that cannot be built."""
    for kind, section in (("flows", models.flows), ("reverses", models.reverses)):
        for name, model in section.items():
            where = f"{source}: '{kind}.{name}"
            _check_name(name, f"{where}'")
            if model.width is not None and model.width % model.head_dim:
                raise UserError(f"{where}.head_dim' {model.head_dim} does not divide 'width' {model.width}.")
            beyond = [step for step in model.checkpoints if step >= model.training.steps]
            if beyond:
                raise UserError(f"{where}.checkpoints' has {beyond[0]}, and training ends before that.")
    for name, flow in models.flows.items():
        if flow.shape and flow.training.steps:
            raise UserError(f"{source}: 'flows.{name}.shape' is for steps: 0; leave it out to train.")
        if flow.shape and flow.shape[1] != flow.shape[2]:
            raise UserError(f"{source}: 'flows.{name}.shape' is not of a square image; make it one.")
        if flow.n_classes and not flow.shape:
            raise UserError(f"{source}: 'flows.{name}.n_classes' goes with 'shape'; leave it out.")
    for name, reverse in models.reverses.items():
        if reverse.flow not in models.flows:
            near = closest(reverse.flow, list(models.flows))
            raise UserError(f"{source}: 'reverses.{name}.flow' is '{reverse.flow}'; {near}")


def _check_name(name: str, where: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+=@-]*", name):
        raise UserError(f"{where}: a name may have letters, digits and _ . + = @ - only; choose another.")


def resolve_samplers(plain: Mapping[str, Any], models: Experiment, source: str) -> list[SamplerRow]:
    """Turn the items under `samplers` into rows: names looked up, sweeps and checkpoints spread out.

    Raises:
        UserError: an item names nothing known, has an option that its type lacks, or cannot be drawn.
    """
    items: dict[str, dict[str, Any]] = {}
    for item in plain["samplers"]:
        if not item:
            raise UserError(f"{source}: an item of 'samplers' is empty; name a sampler, or remove it.")
        name, given = (item, {}) if isinstance(item, str) else next(iter(item.items()))
        where = f"{source}: sampler '{name}'"
        _check_name(name, where)
        if name in items:
            raise UserError(f"{where} is listed twice; give the second another name.")
        if isinstance(item, dict) and len(item) != 1:
            raise UserError(f"{where}: an item has one name with its keys below it; indent them.")
        items[name] = dict(given or {})
    rows = []
    for name, given in _extended(items, f"{source}: 'samplers").items():
        where = f"{source}: sampler '{name}'"
        rows += _rows_of(name, _typed(name, given, models), models, where)
    twice = [row.name for row in rows if [each.name for each in rows].count(row.name) > 1]
    if twice:
        raise UserError(f"{source}: two samplers are called '{twice[0]}'; rename one of them.")
    return rows


def _typed(name: str, given: dict[str, Any], models: Experiment) -> dict[str, Any]:
    """Expand a plain name: that of a reverse or a type, with "+denoise" for `denoise: true`."""
    if "type" in given or "reverse" in given:
        return given
    stem = name.removesuffix(DENOISED)
    short = {"reverse": stem} if stem in models.reverses else {"type": stem}
    return short | ({"denoise": True} if stem != name else {}) | given


def _rows_of(name: str, given: dict[str, Any], models: Experiment, where: str) -> list[SamplerRow]:
    entry = validated(SamplerEntry, given, where)
    options = dict(entry.model_extra or {})
    model, fixed = _attributes(entry, models, where)
    swept = {key: value for key, value in options.items() if isinstance(value, list)}
    if [] in (entry.guidance, *swept.values()):
        raise UserError(f"{where} sweeps over an empty list; give it a value or leave the key out.")
    scales = entry.guidance if isinstance(entry.guidance, list) else None
    scale = models.sampling.guidance if entry.guidance is None else entry.guidance
    if sampler_type(fixed["type"]).draws_from == "data":
        scale = 0.0
    axes = {"guidance": scales} | swept if scales else swept
    rows = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        label = ",".join(f"{key}={value}" for key, value in chosen.items())
        w = float(chosen.pop("guidance", scale))
        try:
            checked = check_options(fixed["type"], options | chosen, fixed["denoise"])
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        _check_guidance(entry, models, w, checked, where)
        row = fixed | {"name": f"{name}@{label}" if label else name, "group": name}
        rows.append(SamplerRow(**row, guidance=w, options=checked))
    steps = [] if model is None else model.checkpoints
    early = [
        row.model_copy(update={"name": f"{row.name}@step={step}", "step": step, "speed": False})
        for row, step in itertools.product(rows, steps)
    ]
    return early + rows


def _attributes(
    entry: SamplerEntry, models: Experiment, where: str
) -> tuple[FlowConfig | ReverseConfig | None, dict[str, Any]]:
    """Return the model that an entry draws from, and the attributes that all its rows share."""
    own = entry.type is not None and ".py:" in entry.type
    if entry.type and entry.reverse and not own:
        raise UserError(f"{where} has both 'type' and 'reverse'; keep one of them.")
    if entry.flow and entry.reverse:
        raise UserError(f"{where} draws from a reverse, which has its own flow; leave 'flow' out.")
    reverse = models.reverses.get(entry.reverse or "")
    if entry.reverse and reverse is None:
        raise UserError(
            f"{where} draws from the reverse '{entry.reverse}';"
            f" {closest(entry.reverse, list(models.reverses))}"
        )
    name = entry.type or OBJECTIVES[reverse.objective]
    try:
        kind = sampler_type(name)
    except UserError as error:
        if ".py:" in name:
            raise UserError(f"{where}: {error}") from None
        known = closest(name, [*models.reverses, *TYPES])
        raise UserError(f"{where}: {str(error).split(';')[0]}; {known} Or name FILE.py:Class.") from None
    if kind.learned and reverse is None:
        raise UserError(f"{where} needs a learned reverse; add one under 'reverses' and name that.")
    if reverse is not None and not kind.learned:
        raise UserError(f"{where} draws from a flow; leave 'reverse' out, or write draws_from = \"reverse\".")
    flow = reverse.flow if reverse else entry.flow or next(iter(models.flows))
    if flow not in models.flows:
        raise UserError(f"{where} inverts the flow '{flow}'; {closest(flow, list(models.flows))}")
    output = kind.output if own or reverse is None else reverse.output
    if entry.denoise and (output == "clean" or kind.draws_from == "data"):
        raise UserError(f"{where} has clean images, or real ones; leave 'denoise' out.")
    data = kind.draws_from == "data"
    model = None if data else reverse or models.flows[flow]
    trained = models.flows[flow].training.steps > 0 and (reverse is None or reverse.training.steps > 0)
    return model, {
        "type": name,
        "flow": flow if name == "real+noise" or not data else None,
        "reverse": entry.reverse,
        "denoise": entry.denoise,
        "output": "clean" if entry.denoise else output,
        "exact": kind.exact,
        "iterative": kind.iterative,
        "learned": kind.learned,
        "factor": entry.factor,
        "title": entry.title,
        "quality": entry.quality and models.quality is not None and (trained or data),
        "speed": entry.speed and models.speed is not None and not data,
    }


def _check_guidance(
    entry: SamplerEntry, models: Experiment, scale: float, options: Mapping[str, Any], where: str
) -> None:
    """Refuse a learned sampler that is guided in a way that its model is not trained for."""
    if not scale or not entry.reverse or entry.type:
        return
    reverse = models.reverses[entry.reverse]
    if reverse.objective == "farmer":
        raise UserError(f"{where} cannot be guided; set its 'guidance' to 0.")
    if scale > reverse.guidance_max and options.get("evaluations") != 2:
        raise UserError(
            f"{where} is guided by {scale:g}, and its model is trained with at most {reverse.guidance_max:g};"
            " lower 'guidance', or set 'evaluations' to 2."
        )
    if not reverse.class_dropout_prob:
        raise UserError(
            f"{where} is guided away from images without class, which its model is not trained for; set"
            f" 'class_dropout_prob' of '{entry.reverse}' above 0."
        )


def load_joined(path: Path, values: Mapping[str, Any], folder: Path) -> dict[str, Experiment]:
    """Return the experiment of a file, and those that it joins, by name; its own comes first.

    Args:
        values: content of the file with the keys of the command line laid over it.
        folder: of the files of the other experiments.

    Raises:
        UserError: as `load_experiment`; or an experiment joins others and not itself.
    """
    own = load_experiment(path, numbers(values))
    if own.experiment not in own.joined:
        raise UserError(
            f"{path}: 'experiments' must contain '{own.experiment}', the experiment of this file."
        )
    others = [name for name in own.joined if name != own.experiment]
    return {own.experiment: own} | {name: load_experiment(folder / f"{name}.yaml") for name in others}


def numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with the seeds as numbers: Snakemake takes those of its command line for words."""
    seeds = values.get("seeds")
    if not isinstance(seeds, list):
        return dict(values)
    return dict(values) | {"seeds": [int(seed) if str(seed).isdecimal() else seed for seed in seeds]}
