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
from nfbench.errors import UserError
from nfbench.sample.contestant import contestant

ROOT = Path(workflow.basedir)
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
SPACES = ["effnet", "classifier"]
FIGURES = ["samples", "quality_speed", "trajectory", "nearest", "training"]
FRONT_FIGURES = ["front", "sweeps"]  # of experiments that sweep the iterative inverses' thresholds
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
    for name in names:
        path = source if name == active else ROOT / f"config/{name}.yaml"
        values = config if name == active else read_experiment(path, SCHEMA)
        check_name(values["experiment"], path if name != active else f"{active}.yaml")
        check_models(values, path)
        loaded[name] = canonical(dataclasses.asdict(build(ExperimentConfig, values)))
    return loaded


def check_name(experiment, path):
    """Refuse an experiment that would write into the results of another."""
    if experiment != Path(path).stem:
        raise UserError(f"{path}: 'experiment' is '{experiment}'; it must be the name of the file.")
    if experiment in ("figures", "logs", "reference"):
        raise UserError(f"{path}: '{experiment}' is a folder of the results; choose another name.")


def check_models(values, source):
    """Refuse models that cannot be built, and samplers whose model the experiment does not train."""
    models = {"forward": values["forward"]}
    models |= {f"reverse.{name}": model for name, model in values["reverse"].items()}
    for name, model in models.items():
        head_dim = model.get("head_dim", 64)
        if model["width"] % head_dim:
            raise UserError(
                f"{source}: 'head_dim' {head_dim} does not divide 'width' {model['width']} in '{name}'; change one of them."
            )
    for sampler in values["sampling"]["samplers"]:
        method = base_name(sampler)
        if is_learned(sampler) and method not in values["reverse"]:
            raise UserError(f"{source}: sampler '{sampler}' needs the section 'reverse.{method}'.")
        if is_learned(sampler) and values["reverse"][method].get("denoising") == "none":
            raise UserError(
                f"{source}: sampler '{sampler}' is one of clean images; set 'reverse.{method}.denoising' to 'learned' or leave the sampler out."
            )
        if is_learned(sampler):
            check_sampling_guidance(values, method, source)
    check_guided_models(values, source)
    if "front" in values["speed"] and not iterative_methods(values):
        raise UserError(
            f"{source}: 'speed.front' needs an iterative inverse among 'sampling.samplers', e.g. jacobi."
        )


def base_name(sampler):
    """Return the method of a contestant, without variant and denoising."""
    return contestant(sampler).method


def is_learned(sampler):
    """Tell learned reverses, which have a model of their own, from the inverses that need no training."""
    return base_name(sampler) in SCHEMA["properties"]["reverse"]["properties"]


def iterative_methods(values):
    """Return the methods among an experiment's samplers that stop at a threshold, so that it can be tuned."""
    names = SCHEMA["properties"]["sampling"]["properties"]["samplers"]["items"]["enum"]
    tunable = {base_name(name) for name in names if contestant(name).variant}
    methods = map(base_name, values["sampling"]["samplers"])
    return [method for method in dict.fromkeys(methods) if method in tunable]


try:
    EXPERIMENTS = load_experiments()
except UserError as error:
    sys.exit(f"error: {error}")


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
REVERSE_CODE = library(*(f"biflow/{name}.py" for name in ("guidance", "layers", "model", "sampler")))
SAMPLE_CODE = library("nfbench/sample/*.py")
FEATURE_CODE = library(
    "nfbench/measure/features.py",
    "nfbench/measure/efficientnet.py",
    "nfbench/measure/classifier.py",
    "nfbench/measure/quality.py",
)
REPORT_CODE = library("nfbench/report/*.py")


def seeds(wildcards):
    """Return the seeds of an experiment."""
    return EXPERIMENTS[wildcards.experiment]["seeds"]


def first_seed(wildcards):
    return seeds(wildcards)[0]


def samplers(wildcards):
    return EXPERIMENTS[wildcards.experiment]["sampling"]["samplers"]


def model_of(wildcards):
    """Return the checkpoint that a sampler draws from, at the wildcards' seed or the first one."""
    seed = getattr(wildcards, "seed", None) or first_seed(wildcards)
    sampler = base_name(wildcards.sampler)
    if is_learned(sampler):
        return f"results/{wildcards.experiment}/reverse/{sampler}/seed{seed}.safetensors"
    return f"results/{wildcards.experiment}/forward/seed{seed}.safetensors"


def true_inverse_of(wildcards):
    """Return the samples that a sampler's are compared with: learned reverses with the denoised inverse."""
    sampler = "sequential+denoise" if is_learned(wildcards.sampler) else "sequential"
    return f"results/{wildcards.experiment}/sample/{sampler}/seed{wildcards.seed}.npy"


def undenoised(wildcards):
    """Return the contestants without their denoised forms, whose errors of inversion are the same."""
    return list(dict.fromkeys(contestant(sampler).drawn for sampler in samplers(wildcards)))


def distinct_samplers(wildcards):
    """Return the contestants without those that draw the images of another one faster."""
    same = {"sequential-static", *iterative_methods(EXPERIMENTS[wildcards.experiment])}
    names = samplers(wildcards)
    return [name for name in names if base_name(name) not in same] or names[:1]


def options_of(wildcards):
    """Return the options that the experiment gives the wildcards' sampler or method."""
    name = getattr(wildcards, "sampler", None) or wildcards.method
    return EXPERIMENTS[wildcards.experiment]["sampling"]["options"].get(base_name(name), {})


def plan_of(wildcards):
    """Return the plan of GS-Jacobi for the wildcards' flow; other samplers need none."""
    name = getattr(wildcards, "sampler", None) or wildcards.method
    if base_name(name) != "gs-jacobi":
        return []
    seed = getattr(wildcards, "seed", None) or first_seed(wildcards)
    return f"results/{wildcards.experiment}/sample/plan/seed{seed}.json"


def tuning_of(wildcards):
    """Return the file with the tuned threshold of a @tuned contestant; others need none."""
    chosen = contestant(wildcards.sampler)
    if not chosen.variant:
        return []
    return f"results/{wildcards.experiment}/sample/tuning/{chosen.method}.json"


def classifier_of(wildcards):
    """Return the domain classifier; the other feature spaces do not wait for it."""
    if getattr(wildcards, "space", "classifier") != "classifier":
        return []
    return f"results/{wildcards.experiment}/measure/classifier.safetensors"


def per_seed(pattern, **values):
    """Return an input function that expands a pattern over the experiment's seeds."""
    return lambda w: expand(pattern, experiment=w.experiment, seed=seeds(w), **values)


def measured(stage, names):
    """Return an input function for one measurement of the given samplers at every seed."""
    return lambda w: expand(
        "results/{experiment}/measure/{stage}/{name}/seed{seed}.json",
        experiment=w.experiment,
        stage=stage,
        name=names(w),
        seed=seeds(w),
    )


def learned_methods(wildcards):
    return sorted({base_name(s) for s in samplers(wildcards) if is_learned(s)})


def guided_methods(wildcards):
    """Return the learned reverses that are trained with guidance."""
    models = EXPERIMENTS[wildcards.experiment]["reverse"]
    return [method for method in models if models[method]["guidance_max"]]


def reverse_models(suffix):
    """Return an input function for the learned reverses' files at every seed."""
    return lambda w: expand(
        "results/{experiment}/reverse/{method}/seed{seed}.{suffix}",
        experiment=w.experiment,
        method=learned_methods(w),
        seed=seeds(w),
        suffix=suffix,
    )


def first_seed_of(pattern):
    """Return an input function for every sampler's file at the first seed."""
    return lambda w: expand(pattern, experiment=w.experiment, sampler=samplers(w), seed=first_seed(w))


def figure_output(name, caption):
    """Return the path of a figure's PNG, shown in the HTML report with its caption."""
    path = f"results/figures/{{experiment}}/{name}"
    return report(
        f"{path}.png",
        caption=f"../report/{caption}.rst",
        category="Figures",
        labels={"experiment": "{experiment}", "figure": name.replace("_", " ")},
    )


def figures_of(experiment):
    """Return the names of an experiment's figures."""
    values = EXPERIMENTS[experiment]
    front = FRONT_FIGURES if values["speed"]["front"] else []
    return FIGURES + front + (GUIDANCE_FIGURES if values["guidance"] else [])


def all_figures():
    """Return every figure of the configured experiments, as PNG and PDF."""
    return [
        f"results/figures/{experiment}/{figure}.{suffix}"
        for experiment in EXPERIMENTS
        for figure in figures_of(experiment)
        for suffix in ("png", "pdf")
    ]


def alternatives(names):
    """Return a wildcard constraint that matches exactly these names."""
    return "|".join(re.escape(name) for name in sorted(names)) or "none"


SAMPLERS = {s for e in EXPERIMENTS.values() for s in e["sampling"]["samplers"]}
SAMPLERS |= {"sequential", "sequential+denoise"}  # the truth that the others are compared with
UNDENOISED = {contestant(sampler).drawn for sampler in SAMPLERS}
SAMPLERS |= UNDENOISED
ITERATIVE = {method for values in EXPERIMENTS.values() for method in iterative_methods(values)}
METHODS = {method for values in EXPERIMENTS.values() for method in values["reverse"]}
FLOORS = {"floor", "floor-noisy"}


wildcard_constraints:
    experiment=alternatives(EXPERIMENTS),
    seed=r"\d+",
    method=alternatives(METHODS),
    sampler=alternatives(SAMPLERS),
    floor=alternatives(FLOORS),
    source=alternatives(SAMPLERS | FLOORS),
    space=alternatives(SPACES),
    figure=alternatives(FIGURES + FRONT_FIGURES + GUIDANCE_FIGURES),
