"""Running the real workflow in a folder of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "config/tiny.yaml"


def command(folder, *arguments, config=TINY):
    """Return the command that runs the workflow with results under `folder`."""
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--cores", "all", *arguments),
        *(("--configfile", str(config)) if config else ()),
    ]


def snakemake(folder, *arguments, config=TINY):
    """Run the workflow; returns the finished process."""
    return subprocess.run(command(folder, *arguments, config=config), capture_output=True, text=True)


def rules_to_run(output):
    """Return the rule names of a dry run's table of jobs."""
    table = output[output.index("Job stats:") :].split("total")[0].splitlines()
    return {line.split()[0] for line in table[3:] if line.strip()}
