# Functions that the rules share; the rules themselves are in the other files.
import dataclasses
import os
import re
import sys
from os import environ
from pathlib import Path

import yaml

# Lets a checkout run without being installed, its scripts too, also in an environment made by conda.
sys.path.insert(0, workflow.basedir)
SEARCHED = [workflow.basedir, environ.get("PYTHONPATH")]
environ["PYTHONPATH"] = os.pathsep.join(filter(None, SEARCHED))

from nfbench.config import ExperimentConfig, build, check, read_experiment
from nfbench.errors import UserError, closest
from nfbench.sample.contestant import contestant
from nfbench.sample.variants import read_ablations

ROOT = Path(workflow.basedir)
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
ABLATIONS_SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/ablations.schema.yaml").read_text())
KNOWN_SAMPLERS = SCHEMA["properties"]["sampling"]["properties"]["samplers"]["items"]["enum"]
SPACES = ["effnet", "classifier", "inception", "dinov2"]
FIGURES = ["samples", "quality_speed", "trajectory", "nearest", "training"]
FRONT_FIGURES = ["front", "sweeps"]  # of experiments that sweep the iterative inverses' thresholds
EDITING_FIGURES = ["inpainting", "class_editing"]  # of experiments with the section editing
EDITING_INVERSE = "sequential-static+denoise"  # what the learned reverses are compared with there
GUIDANCE_FIGURES = ["guidance"]  # of experiments that sweep the scale of guidance


def canonical(value):
    """Sort the keys of nested settings, so that their order in the file starts no rule again."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    return value


def load_experiments():
    """Return {experiment: values, defaults filled in}, each file checked against the schema."""
    source = ", ".join(str(path) for path in workflow.configfiles)
    check(config, SCHEMA, source)
    active = config["experiment"]
    if len(workflow.configfiles) == 1:  # of several, laid over each other, none gives the name
        check_name(active, workflow.configfiles[0])
    names = config.get("experiments", [active])
    if active not in names:
        raise UserError(f"{source}: 'experiments' must contain '{active}', the experiment of this file.")
    loaded = {}
    others = [config.get(f"{kind}_experiment", active) for kind in ("ablation", "budget")]
    for name in dict.fromkeys([*names, *others]):
        path = source if name == active else ROOT / f"config/{name}.yaml"
        values = config if name == active else read_experiment(path, SCHEMA)
        check_name(values["experiment"], path if name != active else f"{active}.yaml")
        check_models(values, path)
        check_ablations(values, path)
        check_budget(values, path)
        loaded[name] = with_variants(canonical(dataclasses.asdict(build(ExperimentConfig, values))))
    return loaded


def with_variants(values):
    """Add the models that an experiment's ablations train: reverse models BASE@NAME, and flows forward@NAME."""
    values["flows"] = {"forward": values["forward"]}
    for name in map(ABLATIONS.model, values["ablations"]):
        variant = ABLATIONS.variants[name]
        if variant.trained:
            base = values["reverse"][ABLATIONS.base]
            values["reverse"][ABLATIONS.contestant(name)] = canonical(base | variant.reverse)
        if variant.forward:
            values["flows"][f"forward@{name}"] = canonical(values["forward"] | variant.forward)
    return values


def base_name(sampler):
    """Return the method of a contestant, without variant and denoising."""
    return contestant(sampler).method


def is_learned(sampler):
    """Tell learned reverses, which have a model of their own, from the inverses that need no training."""
    return base_name(sampler) in SCHEMA["properties"]["reverse"]["properties"]


def is_noisy(sampler):
    """Tell the samplers whose images carry the flow's noise: they have a denoised form, and are not it."""
    chosen = contestant(sampler)
    return not chosen.denoised and f"{chosen.method}+denoise" in KNOWN_SAMPLERS


def iterative_methods(values):
    """Return the methods among an experiment's samplers that stop at a threshold, so that it can be tuned."""
    tunable = {base_name(name) for name in KNOWN_SAMPLERS if contestant(name).variant == "tuned"}
    methods = map(base_name, values["sampling"]["samplers"])
    return [method for method in dict.fromkeys(methods) if method in tunable]


try:
    ABLATIONS = read_ablations(ROOT / "config/ablations.yaml", ABLATIONS_SCHEMA)
    EXPERIMENTS = load_experiments()
except UserError as error:
    sys.exit(f"error: {error}")
JOINED = config.get("experiments", [config["experiment"]])  # in table 1, and in the figures
ABLATED = config.get("ablation_experiment", config["experiment"])  # in tables 2 and 3


def setting(*keys):
    """Return an input or params function that looks a value up in the wildcards' experiment.

    Rules depend on the values they name and on no others, so that a changed number of samples, say,
    does not train anything again.
    """

    def look_up(wildcards):
        value = EXPERIMENTS[wildcards.experiment]
        for key in keys:
            value = value[key]
        return value

    return look_up


def library(*patterns):
    """Return the library files under the repository that match; a rule that lists them runs again when they change."""
    return sorted(os.path.relpath(path) for pattern in patterns for path in ROOT.glob(pattern))


# What each kind of rule computes with, beside its script.
DATA_CODE = library("nfbench/data/*.py")
FLOW_CODE = library("baselines/tarflow/model.py")
INVERSE_CODE = FLOW_CODE + library(
    *(
        f"baselines/tarflow/{name}.py"
        for name in (
            *("counting", "denoise", "fixed_point", "gs_jacobi", "guidance", "inverse", "jacobi"),
            *("plan", "prepared", "selective", "sequential", "static", "workspace"),
        )
    )
)
REVERSE_CODE = library(
    "baselines/farmer.py", *(f"biflow/{name}.py" for name in ("guidance", "layers", "model", "sampler"))
)
SAMPLE_CODE = library("nfbench/sample/*.py")
FEATURE_CODE = library(
    "nfbench/measure/features.py",
    "nfbench/measure/efficientnet.py",
    "nfbench/measure/classifier.py",
    "nfbench/measure/published.py",
    "nfbench/measure/quality.py",
)
COMPARISON_CODE = library(
    "nfbench/measure/comparison.py", "nfbench/measure/intervals.py", "nfbench/student.py"
)
EDITING_CODE = library("biflow/editing.py", "biflow/held_out_edits.py", "nfbench/measure/editing.py")
REPORT_CODE = library("nfbench/report/*.py")


def alternatives(names):
    """Return a wildcard constraint that matches exactly these names."""
    return "|".join(re.escape(name) for name in sorted(names)) or "none"


SAMPLERS = {s for e in EXPERIMENTS.values() for s in e["sampling"]["samplers"]}
SAMPLERS |= {ABLATIONS.contestant(name) for e in EXPERIMENTS.values() for name in e["ablations"]}
SAMPLERS |= {"sequential", "sequential+denoise"}  # the truth that the others are compared with
UNDENOISED = {contestant(sampler).drawn for sampler in SAMPLERS}
SAMPLERS |= UNDENOISED
ITERATIVE = {method for values in EXPERIMENTS.values() for method in iterative_methods(values)}
METHODS = {method for values in EXPERIMENTS.values() for method in values["reverse"]}
FLOWS = {flow for values in EXPERIMENTS.values() for flow in values["flows"]}
FLOORS = {"floor", "floor-noisy", "class-means"}


wildcard_constraints:
    experiment=alternatives(EXPERIMENTS),
    seed=r"\d+",
    method=alternatives(METHODS),
    flow=alternatives(FLOWS),
    sampler=alternatives(SAMPLERS),
    floor=alternatives(FLOORS),
    source=alternatives(SAMPLERS | FLOORS),
    space=alternatives(SPACES),
    figure=alternatives(FIGURES + FRONT_FIGURES + EDITING_FIGURES + GUIDANCE_FIGURES),
