"""Time one sampler with pytest-benchmark in a process of its own."""

import subprocess
import sys

import biflow  # noqa: F401, registers the learned reverses
from nfbench.config import SpeedConfig, build
from nfbench.device import resolve_device
from nfbench.errors import UserError
from nfbench.files import atomic_path
from nfbench.job import job
from nfbench.measure.speed import read_benchmark_json
from nfbench.provenance import REPOSITORY
from nfbench.sample.sampler import entry

SUITE = REPOSITORY / "tests" / "speed"

with job(snakemake.log[0], threads=0) as report:
    config = build(SpeedConfig, snakemake.params.speed)
    learned = entry(snakemake.wildcards.sampler).learned
    checkpoint = "--reverse-checkpoint" if learned else "--forward-checkpoint"
    with atomic_path(snakemake.output[0]) as temporary:
        command = [
            *(sys.executable, "-m", "pytest", str(SUITE), "-q", "-p", "no:cacheprovider"),
            *("--benchmark-only", f"--benchmark-json={temporary}"),
            *("--sampler", snakemake.wildcards.sampler, checkpoint, snakemake.input.weights),
            *("--device", resolve_device(snakemake.params.device).type),
            *("--max-seconds", str(config.max_seconds), "--min-rounds", str(config.min_rounds)),
            *(word for size in config.batch_sizes for word in ("--batch-size", str(size))),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        for line in (done.stdout + done.stderr).splitlines():
            report(line)
        if done.returncode:
            raise UserError(f"the speed suite failed with status {done.returncode}; its output is above.")
        read_benchmark_json(temporary)
