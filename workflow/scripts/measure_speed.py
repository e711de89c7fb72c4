"""Time one sampler with pytest-benchmark in a process of its own."""

import json
import subprocess
import sys

from nfbench.errors import UserError
from nfbench.files import atomic_path
from nfbench.job import job
from nfbench.measure.speed import read_benchmark_json
from nfbench.sample.contestant import contestant, options_in_effect

with job(snakemake.log[0]) as report:
    options = options_in_effect(snakemake.params.options, snakemake.input.plan, snakemake.input.tuning)
    checkpoint = "--reverse-checkpoint" if snakemake.params.learned else "--forward-checkpoint"
    with atomic_path(snakemake.output[0]) as temporary:
        command = [
            *(sys.executable, "-m", "pytest", snakemake.input.suite[-1], "-q", "-p", "no:cacheprovider"),
            *("--benchmark-only", f"--benchmark-json={temporary}"),
            *("--sampler", contestant(snakemake.wildcards.sampler).sampler),
            *(checkpoint, snakemake.input.weights, "--sampler-options", json.dumps(options)),
            *(("--forward-checkpoint", snakemake.input.flow) if snakemake.input.flow else ()),
            *("--guidance", str(snakemake.params.guidance)),
            *("--device", snakemake.params.device),
            *(
                "--max-seconds",
                str(snakemake.params.max_seconds),
                "--min-rounds",
                str(snakemake.params.min_rounds),
            ),
            *(word for size in snakemake.params.batch_sizes for word in ("--batch-size", str(size))),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        for line in (done.stdout + done.stderr).splitlines():
            report(line)
        if done.returncode:
            raise UserError(f"the speed suite failed with status {done.returncode}; its output is above.")
        read_benchmark_json(temporary)
