# Functions that the rules share; the rules themselves are in the other files.
import os
import re
import sys
from os import environ
from pathlib import Path

# Lets a checkout run without being installed, its scripts too, also in an environment made by conda.
sys.path.insert(0, workflow.basedir)
SEARCHED = [workflow.basedir, environ.get("PYTHONPATH")]
environ["PYTHONPATH"] = os.pathsep.join(filter(None, SEARCHED))

from nfbench.errors import UserError
from nfbench.files import sha256_file
from nfbench.sample.contestant import contestant
from nfbench.sample.experiments import canonical, load_experiments
from nfbench.sample.vocabulary import read_vocabulary

ROOT = Path(workflow.basedir)
SPACES = ["effnet", "classifier", "inception", "dinov2"]
FIGURES = ["samples", "quality_speed", "sample_size", "trajectory", "nearest", "training"]
FRONT_FIGURES = ["front", "sweeps"]  # of experiments that sweep the iterative inverses' thresholds
EDITING_FIGURES = ["inpainting", "class_editing"]  # of experiments with the section editing
EDITING_INVERSE = "sequential-static+denoise"  # what the learned reverses are compared with there
GUIDANCE_FIGURES = ["guidance"]  # of experiments that sweep the scale of guidance

# Snakemake takes the numbers of a list on its command line for words.
if isinstance(config.get("seeds"), list):
    config["seeds"] = [int(seed) if str(seed).isdecimal() else seed for seed in config["seeds"]]
try:
    VOCABULARY = read_vocabulary(ROOT)
    EXPERIMENTS = load_experiments(config, workflow.configfiles, ROOT / "config", VOCABULARY)
except UserError as error:
    sys.exit(f"error: {error}")
ABLATIONS = VOCABULARY.ablations
is_learned = VOCABULARY.is_learned
is_noisy = VOCABULARY.is_noisy
iterative_methods = VOCABULARY.iterative_methods
JOINED = config.get("experiments", [config["experiment"]])  # in table 1, and in the figures
ABLATED = config.get("ablation_experiment", config["experiment"])  # in tables 2 and 3


def base_name(sampler):
    """Return the method of a contestant, without variant and denoising."""
    return contestant(sampler).method


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
    """Return the library files under the repository that match; what lists them runs again when they change."""
    return sorted(os.path.relpath(path) for pattern in patterns for path in ROOT.glob(pattern))


def hashes(paths):
    """Return {file: hash}, params by which rules read files that they do not ask for; a changed one runs them again.

    Committed results are outputs of rules that take an hour or a GPU, which no other target may start.
    """
    return {path: sha256_file(path) for path in paths}


def there(*patterns):
    """Return {file: hash} of what is there when Snakemake starts; see `hashes`."""
    return hashes(sorted(path.as_posix() for pattern in patterns for path in Path().glob(pattern)))


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
