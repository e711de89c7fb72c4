"""Time inverses against each other with pytest-benchmark, and write their ratios as a table."""

import subprocess
import sys

from nfbench.errors import UserError
from nfbench.files import atomic_path
from nfbench.job import job
from nfbench.measure.ratios import ratio_table, read_ratios

SECONDS_PER_CELL = 8

with job(snakemake.log[0]) as report:
    with atomic_path(snakemake.output.json) as temporary:
        command = [
            *(sys.executable, "-m", "pytest", snakemake.input.suite[-1], "-q", "-p", "no:cacheprovider"),
            *("--benchmark-only", f"--benchmark-json={temporary}", "--device", snakemake.wildcards.device),
            *("--forward-checkpoint", snakemake.input.flow, "--max-seconds", str(SECONDS_PER_CELL)),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        for line in (done.stdout + done.stderr).splitlines():
            report(line)
        if done.returncode:
            raise UserError(f"the speed suite failed with status {done.returncode}; its output is above.")
        table = ratio_table(read_ratios(temporary))
    with atomic_path(snakemake.output.markdown) as temporary:
        temporary.write_text(table)
