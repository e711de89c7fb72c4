"""What is wrong with an experiment file beyond its schema: keys that must fit together."""

import re
from pathlib import Path
from typing import Any

from nfbench.config import check
from nfbench.errors import UserError, closest
from nfbench.sample.contestant import contestant
from nfbench.sample.vocabulary import Vocabulary

BESIDE_ARMS = re.compile(r"floor|forward(-\d+)?")  # files of these names lie beside the curves of a budget


def check_experiment(values: dict[str, Any], source: str | Path, vocabulary: Vocabulary) -> None:
    """Refuse an experiment whose keys do not fit together.

    Args:
        values: of a file that is right by its schema.
        source: the file's name, for the message.

    Raises:
        UserError: one sentence that says what is wrong and what to change.
    """
    _check_models(values, source)
    _check_guided_models(values, source)
    _check_samplers(values, source, vocabulary)
    _check_ablations(values, source, vocabulary)
    _check_budget(values, source, vocabulary)


def check_name(experiment: str, path: str | Path) -> None:
    """Refuse an experiment that would write into the results of another."""
    if experiment != Path(path).stem:
        raise UserError(f"{path}: 'experiment' is '{experiment}'; it must be the name of the file.")
    if experiment in ("figures", "logs", "reference"):
        raise UserError(f"{path}: '{experiment}' is a folder of the results; choose another name.")


def _check_models(values: dict[str, Any], source: str | Path) -> None:
    """Refuse models that cannot be built, and losses that cannot be taken of their images."""
    models = {"forward": values["forward"]}
    models |= {f"reverse.{name}": model for name, model in values["reverse"].items()}
    for name, model in models.items():
        head_dim = model.get("head_dim", 64)
        # A student has no width of its own: its architecture is the flow's.
        if model.get("width", 0) % head_dim:
            raise UserError(
                f"{source}: 'head_dim' {head_dim} does not divide 'width' {model['width']} "
                f"in '{name}'; change one of them."
            )
        for key in ("perceptual", "energy"):
            if model.get(key) and model.get("denoising") == "none":
                raise UserError(
                    f"{source}: '{name}.{key}' compares clean images; set '{name}.denoising' "
                    "to 'learned' or leave it out."
                )
        if model.get("energy") and model["training"]["batch_size"] < 2:
            raise UserError(
                f"{source}: '{name}.energy' compares the images of a batch with each other; set "
                f"'{name}.training.batch_size' to 2 or more."
            )


def _check_samplers(values: dict[str, Any], source: str | Path, vocabulary: Vocabulary) -> None:
    """Refuse samplers whose model the experiment does not train, or that its other sections do not suit."""
    for sampler in values["sampling"]["samplers"]:
        if not vocabulary.is_learned(sampler):
            continue
        method = contestant(sampler).method
        if method not in values["reverse"]:
            raise UserError(f"{source}: sampler '{sampler}' needs the section 'reverse.{method}'.")
        if values["reverse"][method].get("denoising") == "none":
            raise UserError(
                f"{source}: sampler '{sampler}' is one of clean images; set 'reverse.{method}.denoising' "
                "to 'learned' or leave the sampler out."
            )
        _check_sampling_guidance(values, method, source)
    if "front" in values["speed"] and not vocabulary.iterative_methods(values):
        raise UserError(
            f"{source}: 'speed.front' needs an iterative inverse among 'sampling.samplers', e.g. jacobi."
        )


def _check_ablations(values: dict[str, Any], source: str | Path, vocabulary: Vocabulary) -> None:
    """Refuse ablations that are not described, or that lack what they are compared with."""
    ablations = vocabulary.ablations
    for name in values.get("ablations", []):
        if name not in ablations.variants:
            raise UserError(
                f"{source}: there is no ablation '{name}'; {closest(name, list(ablations.variants))}"
            )
    if values.get("ablations") and ablations.base not in values["sampling"]["samplers"]:
        raise UserError(
            f"{source}: 'ablations' are compared with '{ablations.base}'; add it to 'sampling.samplers'."
        )
    for name in values.get("ablations", []):
        variant = ablations.variants[name]
        reverse = values["reverse"] | {ablations.base: values["reverse"][ablations.base] | variant.reverse}
        changed = values | {"reverse": reverse, "forward": values["forward"] | variant.forward}
        _check_changed(changed, f"{source}, ablation '{name}'", vocabulary)


def _check_changed(values: dict[str, Any], where: str, vocabulary: Vocabulary) -> None:
    """Refuse what a change of models makes of an experiment: its schema and models are looked at again."""
    check(values, vocabulary.schema, where)
    _check_models(values, where)
    _check_guided_models(values, where)


def _check_sampling_guidance(values: dict[str, Any], method: str, source: str | Path) -> None:
    """Refuse a learned sampler that guides in one evaluation by more than its model is trained for."""
    asked, most = values["sampling"].get("guidance", 0), values["reverse"][method].get("guidance_max", 0)
    options = values["sampling"].get("options", {}).get(method, {})
    if asked > most and options.get("evaluations") != 2:
        trained = f"with guidance up to {most:g}" if most else "without guidance"
        raise UserError(
            f"{source}: '{method}' is trained {trained}; set 'sampling.guidance' to {most:g}, "
            f"or 'sampling.options.{method}.evaluations' to 2."
        )


def _check_guided_models(values: dict[str, Any], source: str | Path) -> None:
    """Refuse training-time guidance where it is not defined, and its figure without clean images."""
    for method, model in values["reverse"].items():
        if not model.get("guidance_max"):
            _check_unguided(method, model, source)
            continue
        if method != "biflow":
            raise UserError(
                f"{source}: training-time guidance is defined for hidden alignment; "
                f"set 'reverse.{method}.guidance_max' to 0 or leave it out."
            )
        if model.get("label_drop") == 0:
            raise UserError(
                f"{source}: guidance leads away from images without label; "
                f"set 'reverse.{method}.label_drop' above 0."
            )
        if "guidance" in values and model.get("denoising") == "none":
            raise UserError(
                f"{source}: the section 'guidance' compares clean images; set 'reverse.{method}.denoising' "
                "to 'learned' or leave the section out."
            )


def _check_unguided(method: str, model: dict[str, Any], source: str | Path) -> None:
    """Refuse settings of training-time guidance that would do nothing."""
    in_vain = {
        "guidance_share": model.get("guidance_share", 1) != 1,
        "conditioning": model.get("conditioning") == "extrapolated",
    }
    for key in (key for key, given in in_vain.items() if given):
        raise UserError(
            f"{source}: '{key}: {model[key]}' in 'reverse.{method}' does nothing without guidance; set"
            f" 'guidance_max' above 0 or leave '{key}' out."
        )


def _check_budget(values: dict[str, Any], source: str | Path, vocabulary: Vocabulary) -> None:
    """Refuse curves of methods that the experiment does not describe, and changes that they do not take."""
    budget = values.get("budget", {})
    own = values["forward"]["training"]["steps"]
    for steps in budget.get("forward_steps", []):
        if steps <= own:
            raise UserError(
                f"{source}: 'budget.forward_steps' has {steps}, and the flow of the curves itself takes {own}"
                " steps; list larger numbers."
            )
    for name, arm in budget.get("arms", {}).items():
        if BESIDE_ARMS.fullmatch(name):
            raise UserError(
                f"{source}: 'budget.arms.{name}' has the name of what it is compared with; choose another."
            )
        if arm["method"] not in values["reverse"]:
            raise UserError(f"{source}: 'budget.arms.{name}' needs the section 'reverse.{arm['method']}'.")
        if vocabulary.is_noisy(arm["method"]):
            raise UserError(
                f"{source}: 'budget.arms.{name}' is of {arm['method']}, whose images are noisy, and curves"
                " are compared with clean ones; leave it out."
            )
        base = values["reverse"][arm["method"]]
        training = base["training"] | arm.get("change", {}).get("training", {})
        changed = base | arm.get("change", {}) | {"training": training}
        where = f"{source}, curve '{name}'"
        with_arm = values | {"reverse": values["reverse"] | {arm["method"]: changed}}
        _check_changed(with_arm, where, vocabulary)
        if changed.get("denoising") == "none":
            raise UserError(
                f"{where}: curves are of clean images; set 'denoising' to 'learned' or leave it out."
            )
