# The samplers' speed at the paper's sizes: random weights, no data, no training, and so none of the other rules.
import dataclasses
import os
import sys
from os import environ
from pathlib import Path

import yaml

# Lets a checkout run without being installed, its scripts too, also in an environment made by conda.
sys.path.insert(0, workflow.basedir)
environ["PYTHONPATH"] = os.pathsep.join(filter(None, [workflow.basedir, environ.get("PYTHONPATH")]))

from nfbench.config import PaperSpeedConfig, build, check
from nfbench.errors import UserError

TIMING_ROOT = Path(workflow.basedir)
TIMING_SCHEMA = yaml.safe_load((TIMING_ROOT / "workflow/schemas/paper_speed.schema.yaml").read_text())


def read_timing():
    """Return the experiment's values, defaults filled in."""
    source = ", ".join(str(path) for path in workflow.configfiles)
    check(config, TIMING_SCHEMA, source)
    if len(workflow.configfiles) == 1 and config["experiment"] != Path(source).stem:
        raise UserError(
            f"{source}: 'experiment' is '{config['experiment']}'; it must be the name of the file."
        )
    return dataclasses.asdict(build(PaperSpeedConfig, config))


def timing_code(*patterns):
    """Return the library files that match; a rule that lists them runs again when they change."""
    return sorted(os.path.relpath(path) for pattern in patterns for path in TIMING_ROOT.glob(pattern))


try:
    TIMING = read_timing()
except UserError as error:
    sys.exit(f"error: {error}")
# "B/2" is no name of a file.
TIMED_SIZES = {size.replace("/", "-"): size for size in TIMING["sizes"]}


wildcard_constraints:
    experiment=TIMING["experiment"],
    size="|".join(TIMED_SIZES),
    sampler="|".join(TIMING["samplers"]),


localrules:
    paper_speed,


rule paper_speed:
    """The table of speeds at the paper's sizes."""
    input:
        expand(
            "results/{experiment}/report/speed.{suffix}",
            experiment=TIMING["experiment"],
            suffix=["csv", "md"],
        ),


rule measure_paper_speed:
    """Time one sampler at one size, in a process of its own, alone on the machine."""
    input:
        code=timing_code(
            "baselines/tarflow/*.py",
            *(f"biflow/{name}.py" for name in ("layers", "model", "paper_speed", "presets", "sampler")),
            *(f"nfbench/measure/{name}.py" for name in ("cells", "speed")),
        ),
    output:
        "results/{experiment}/measure/speed/{size}/{sampler}.json",
    log:
        "results/{experiment}/logs/measure_paper_speed/{size}/{sampler}.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        config=TIMING,
        size=lambda w: TIMED_SIZES[w.size],
    script:
        "../scripts/measure_paper_speed.py"


rule report_paper_speed:
    """Join the rows of all samplers and sizes, with speed-ups against the fastest exact inverse."""
    input:
        measured=expand(
            "results/{experiment}/measure/speed/{size}/{sampler}.json",
            experiment=TIMING["experiment"],
            size=TIMED_SIZES,
            sampler=TIMING["samplers"],
        ),
        code=timing_code("nfbench/report/paper_speed.py"),
    output:
        csv="results/{experiment}/report/speed.csv",
        markdown="results/{experiment}/report/speed.md",
    log:
        "results/{experiment}/logs/report_paper_speed.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/report_paper_speed.py"
