# Functions that the rules share; the rules themselves are in the other files.
import os
import re
import sys
from pathlib import Path

import yaml

sys.path.insert(0, workflow.basedir)  # lets a checkout run without being installed

from nfbench.config import check, read_experiment
from nfbench.errors import UserError

ROOT = Path(workflow.basedir)
SPACES = ["effnet", "classifier"]
FIGURES = ["samples", "quality_speed", "trajectory", "nearest", "training"]


def load_experiments():
    """Return {experiment: values}, the active configuration first, each checked against the schema."""
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
        loaded[name] = values
    if active not in loaded:
        raise UserError(f"{source}: 'experiments' must contain '{active}', this file's experiment.")
    return loaded


def base_name(sampler):
    """Return a sampler's name without "+denoise"."""
    return sampler.removesuffix("+denoise")


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
            value = value.get(key) if hasattr(value, "get") else value[key]
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
