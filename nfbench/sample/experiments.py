"""The experiments of one run: the files that the user names, and those that they name in turn."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nfbench.config import ExperimentConfig, build, check, read_experiment
from nfbench.errors import UserError
from nfbench.sample.checks import check_experiment, check_name
from nfbench.sample.variants import Ablations
from nfbench.sample.vocabulary import Vocabulary

OTHERS = ("ablation_experiment", "budget_experiment")  # keys that name one more experiment


def load_experiments(
    config: dict[str, Any], paths: Sequence[str | Path], folder: Path, vocabulary: Vocabulary
) -> dict[str, dict[str, Any]]:
    """Return {experiment: values, defaults filled in}, each file checked.

    Args:
        config: what the files at `paths`, laid over each other, and the command line make together.
        folder: of the experiment files that `config` names.

    Raises:
        UserError: one sentence that names the file, what is wrong with it, and what to change.
    """
    source = ", ".join(map(str, paths))
    check(config, vocabulary.schema, source)
    active = config["experiment"]
    if len(paths) == 1:  # of several, laid over each other, none gives the name
        check_name(active, paths[0])
    names = config.get("experiments", [active])
    if active not in names:
        raise UserError(f"{source}: 'experiments' must contain '{active}', the experiment of this file.")
    loaded = {}
    for name in dict.fromkeys([*names, *(config.get(key, active) for key in OTHERS)]):
        path = source if name == active else folder / f"{name}.yaml"
        values = config if name == active else read_experiment(path, vocabulary.schema)
        check_name(values["experiment"], path if name != active else f"{active}.yaml")
        check_experiment(values, path, vocabulary)
        filled = canonical(dataclasses.asdict(build(ExperimentConfig, values)))
        loaded[name] = with_variants(filled, vocabulary.ablations)
    return loaded


def canonical(value: Any) -> Any:
    """Sort the keys of nested settings, so that their order in the file starts no rule again."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    return value


def with_variants(values: dict[str, Any], ablations: Ablations) -> dict[str, Any]:
    """Add the models that an experiment's ablations train: reverses BASE@NAME, and flows forward@NAME."""
    values["flows"] = {"forward": values["forward"]}
    for name in map(ablations.model, values["ablations"]):
        variant = ablations.variants[name]
        if variant.trained:
            base = values["reverse"][ablations.base]
            values["reverse"][ablations.contestant(name)] = canonical(base | variant.reverse)
        if variant.forward:
            values["flows"][f"forward@{name}"] = canonical(values["forward"] | variant.forward)
    return values
