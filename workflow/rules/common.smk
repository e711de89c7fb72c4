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
SPACES = ["effnet", "classifier"]
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
    for name in dict.fromkeys([*names, config.get("ablation_experiment", active)]):
        path = source if name == active else ROOT / f"config/{name}.yaml"
        values = config if name == active else read_experiment(path, SCHEMA)
        check_name(values["experiment"], path if name != active else f"{active}.yaml")
        check_models(values, path)
        check_ablations(values, path)
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
        # A student has no width of its own: its architecture is the flow's.
        if model.get("width", 0) % head_dim:
            raise UserError(
                f"{source}: 'head_dim' {head_dim} does not divide 'width' {model['width']} in '{name}'; change one of them."
            )
        if model.get("perceptual") and model.get("denoising") == "none":
            raise UserError(
                f"{source}: '{name}.perceptual' compares clean images; set '{name}.denoising' to 'learned' or leave it out."
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


def check_ablations(values, source):
    """Refuse ablations that are not described, or that lack what they are compared with."""
    for name in values.get("ablations", []):
        if name not in ABLATIONS.variants:
            raise UserError(
                f"{source}: there is no ablation '{name}'; {closest(name, list(ABLATIONS.variants))}"
            )
    if values.get("ablations") and ABLATIONS.base not in values["sampling"]["samplers"]:
        raise UserError(
            f"{source}: 'ablations' are compared with '{ABLATIONS.base}'; add it to 'sampling.samplers'."
        )
    for name in values.get("ablations", []):
        variant = ABLATIONS.variants[name]
        reverse = values["reverse"] | {ABLATIONS.base: values["reverse"][ABLATIONS.base] | variant.reverse}
        changed = values | {"reverse": reverse, "forward": values["forward"] | variant.forward}
        check(changed, SCHEMA, f"config/ablations.yaml, variant '{name}'")


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
    "nfbench/measure/quality.py",
)
EDITING_CODE = library("biflow/editing.py", "biflow/held_out_edits.py", "nfbench/measure/editing.py")
REPORT_CODE = library("nfbench/report/*.py")


def seeds(wildcards):
    """Return the seeds of an experiment."""
    return EXPERIMENTS[wildcards.experiment]["seeds"]


def first_seed(wildcards):
    return seeds(wildcards)[0]


def training_threads(wildcards):
    """Return the cores of one training: all, since two trainings on the same cores slow each other down."""
    return EXPERIMENTS[wildcards.experiment]["threads_per_training"] or workflow.cores


def samplers(wildcards):
    return EXPERIMENTS[wildcards.experiment]["sampling"]["samplers"]


def variant_of(wildcards):
    """Return which ablation the wildcards' sampler or method is, None for the others."""
    name = getattr(wildcards, "sampler", None) or wildcards.method
    return contestant(name).variant if is_learned(name) else None


def seed_of(wildcards):
    """Return the wildcards' seed; where a rule has none, the experiment's first."""
    return getattr(wildcards, "seed", None) or first_seed(wildcards)


def flow_of(wildcards):
    """Return the flow that the wildcards' sampler or method inverts."""
    flow = f"forward@{variant_of(wildcards)}"
    if flow not in EXPERIMENTS[wildcards.experiment]["flows"]:
        flow = "forward"
    return f"results/{wildcards.experiment}/{flow}/seed{seed_of(wildcards)}.safetensors"


def model_of(wildcards):
    """Return the checkpoint that a sampler draws from."""
    if not is_learned(wildcards.sampler):
        return flow_of(wildcards)
    drawn = contestant(wildcards.sampler).drawn
    models = EXPERIMENTS[wildcards.experiment]["reverse"]
    method = drawn if drawn in models else base_name(drawn)  # a variant without a model of its own
    return f"results/{wildcards.experiment}/reverse/{method}/seed{seed_of(wildcards)}.safetensors"


def denoising_flow_of(wildcards):
    """Return the flow whose score denoises a learned sampler's images; others need none beside their model."""
    if not (is_learned(wildcards.sampler) and contestant(wildcards.sampler).denoised):
        return []
    return flow_of(wildcards)


def true_inverse_of(wildcards):
    """Return the samples that a sampler's are compared with: the exact inverse's, denoised for clean ones."""
    sampler = "sequential" if is_noisy(wildcards.sampler) else "sequential+denoise"
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
    values = EXPERIMENTS[wildcards.experiment]
    options = values["sampling"]["options"].get(base_name(name), {})
    if variant := variant_of(wildcards):
        options = options | ABLATIONS.variants[variant].options
        if values["reverse"].get(name, {}).get("denoising") == "none":
            options = options | {"output": "noisy"}
    return options


def guidance_of(wildcards):
    """Return the scale of guidance that the wildcards' sampler draws with."""
    if variant := variant_of(wildcards):
        scale = ABLATIONS.variants[variant].guidance
        if scale is not None:
            return scale
    return EXPERIMENTS[wildcards.experiment]["sampling"]["guidance"]


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
    if chosen.variant != "tuned":
        return []
    return f"results/{wildcards.experiment}/sample/tuning/{chosen.method}.json"


def classifier_of(wildcards):
    """Return the domain classifier; the other feature spaces do not wait for it."""
    if getattr(wildcards, "space", "classifier") != "classifier":
        return []
    return f"results/{wildcards.experiment}/measure/classifier.safetensors"


def classifier_of_loss(wildcards):
    """Return the domain classifier where a reverse model's loss compares its features; others need none."""
    if "classifier" not in EXPERIMENTS[wildcards.experiment]["reverse"][wildcards.method].get(
        "perceptual", {}
    ):
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


def compared(table):
    """Return the contestants of table 2, objectives, or of table 3, the base and its ablations."""
    values = EXPERIMENTS[ABLATED]
    if table == "2":
        names = [name for name in ABLATIONS.objectives if name in values["sampling"]["samplers"]]
    else:
        names = [ABLATIONS.base, *map(ABLATIONS.contestant, values["ablations"])]
    if ABLATIONS.base not in names or len(names) < 2:
        raise UserError(
            f"results/table{table}.csv compares nothing in experiment '{ABLATED}'; name one that does by"
            " 'ablation_experiment', e.g. fashion14-ablations."
        )
    return names


def curves_of(names):
    """Return the training curves of the learned ones among the contestants of tables 2 and 3, each once."""
    models = EXPERIMENTS[ABLATED]["reverse"]
    drawn = [contestant(name).drawn for name in names if is_learned(name)]
    return expand(
        "results/{experiment}/reverse/{method}/seed{seed}.csv",
        experiment=ABLATED,
        method=list(dict.fromkeys(name if name in models else base_name(name) for name in drawn)),
        seed=EXPERIMENTS[ABLATED]["seeds"],
    )


def reverses_at(seed):
    """Return an input function for the learned reverses at the seed that `seed` gives of the wildcards."""
    return lambda w: expand(
        "results/{experiment}/reverse/{method}/seed{seed}.safetensors",
        experiment=w.experiment,
        method=learned_methods(w),
        seed=seed(w),
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
    sections = (
        (values["speed"]["front"], FRONT_FIGURES),
        (values["guidance"], GUIDANCE_FIGURES),
        (values["editing"], EDITING_FIGURES),
    )
    return FIGURES + [name for section, names in sections if section for name in names]


def all_figures():
    """Return every figure of the configured experiments, as PNG and PDF."""
    return [
        f"results/figures/{experiment}/{figure}.{suffix}"
        for experiment in JOINED
        for figure in figures_of(experiment)
        for suffix in ("png", "pdf")
    ]


def editing_tables():
    """Return the tables of edited images of the experiments that edit some."""
    edited = [experiment for experiment in JOINED if EXPERIMENTS[experiment]["editing"]]
    return expand("results/{experiment}/report/editing.{suffix}", experiment=edited, suffix=["csv", "md"])


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
FLOORS = {"floor", "floor-noisy"}


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
