"""Time one sampler with pytest-benchmark in a process of its own."""

import subprocess
import sys

from nfbench.config import SpeedConfig, build
from nfbench.errors import UserError
from nfbench.files import atomic_path
from nfbench.job import job
from nfbench.measure.speed import read_benchmark_json

with job(snakemake.log[0]) as report:
    config = build(SpeedConfig, snakemake.params.speed)
    checkpoint = "--reverse-checkpoint" if snakemake.params.learned else "--forward-checkpoint"
    with atomic_path(snakemake.output[0]) as temporary:
        command = [
            *(sys.executable, "-m", "pytest", snakemake.input.suite[-1], "-q", "-p", "no:cacheprovider"),
            *("--benchmark-only", f"--benchmark-json={temporary}"),
            *("--sampler", snakemake.wildcards.sampler, checkpoint, snakemake.input.weights),
            *("--guidance", str(snakemake.params.guidance)),
            *("--device", snakemake.params.device),
            *("--max-seconds", str(config.max_seconds), "--min-rounds", str(config.min_rounds)),
            *(word for size in config.batch_sizes for word in ("--batch-size", str(size))),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        for line in (done.stdout + done.stderr).splitlines():
            report(line)
        if done.returncode:
            raise UserError(f"the speed suite failed with status {done.returncode}; its output is above.")
        read_benchmark_json(temporary)
