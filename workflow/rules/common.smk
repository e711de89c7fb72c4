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

ROOT = Path(workflow.basedir)
SPACES = ["effnet", "classifier"]
FIGURES = ["samples", "quality_speed", "trajectory", "nearest", "training"]


def canonical(value):
    """Sort the keys of nested settings, so that their order in the file starts no rule again."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    return value


def load_experiments():
    """Return {experiment: values, defaults filled in}, each file checked against the schema."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    source = ", ".join(str(path) for path in workflow.configfiles)
    check(config, schema, source)
    active = config["experiment"]
    loaded = {}
    for name in config.get("experiments", [active]):
        values = config if name == active else read_experiment(ROOT / f"config/{name}.yaml", schema)
        for sampler in values["sampling"]["samplers"]:
            if is_learned(sampler) and base_name(sampler) not in values["reverse"]:
                raise UserError(
                    f"{source}: sampler '{sampler}' needs the section 'reverse.{base_name(sampler)}'."
                )
        loaded[name] = canonical(dataclasses.asdict(build(ExperimentConfig, values)))
    if active not in loaded:
        raise UserError(f"{source}: 'experiments' must contain '{active}', this file's experiment.")
    return loaded


def base_name(sampler):
    """Return the name of a sampler without its denoising suffix."""
    return sampler.partition("+")[0]


def is_learned(sampler):
    """Tell learned reverses from the inverses that need no training."""
    return base_name(sampler).split("-")[0] in ("biflow", "farmer")


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


def seeds(wildcards):
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


def classifier_of(wildcards):
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
    """Return a figure's PNG, shown in the HTML report, and PDF."""
    path = f"results/figures/{{experiment}}/{name}"
    return report(
        f"{path}.png",
        caption=f"../report/{caption}.rst",
        category="Figures",
        labels={"experiment": "{experiment}", "figure": name.replace("_", " ")},
    )


def all_figures():
    """Return every figure of the configured experiments, as PNG and PDF."""
    return expand(
        "results/figures/{experiment}/{figure}.{suffix}",
        experiment=EXPERIMENTS,
        figure=FIGURES,
        suffix=["png", "pdf"],
    )


def alternatives(names):
    """Return a wildcard constraint that matches exactly these names."""
    return "|".join(re.escape(name) for name in sorted(names)) or "none"


SAMPLERS = {s for e in EXPERIMENTS.values() for s in e["sampling"]["samplers"]}
SAMPLERS |= {"sequential", "sequential+denoise"}  # the truth that the others are compared with
UNDENOISED = {base_name(sampler) for sampler in SAMPLERS}
FLOORS = {"floor", "floor-noisy"}


wildcard_constraints:
    experiment=alternatives(EXPERIMENTS),
    seed=r"\d+",
    method=alternatives({m for e in EXPERIMENTS.values() for m in e["reverse"]}),
    sampler=alternatives(SAMPLERS),
    floor=alternatives(FLOORS),
    source=alternatives(SAMPLERS | FLOORS),
    space=alternatives(SPACES),
    figure=alternatives(FIGURES),
