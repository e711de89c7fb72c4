"""Time one sampler at one of the paper's sizes."""

import biflow  # noqa: F401 - registers the samplers
from biflow.paper_speed import time_sampler
from nfbench.config import PaperSpeedConfig, build
from nfbench.device import resolve_device, resolve_precision
from nfbench.files import write_json
from nfbench.job import job
from nfbench.measure.cells import matmul_flops_per_second
from nfbench.provenance import provenance

with job(snakemake.log[0], snakemake.threads) as report:
    config = build(PaperSpeedConfig, snakemake.params.config)
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    matmul = matmul_flops_per_second(device, precision)
    report(f"a large product of matrices: {matmul / 1e12:.3g} TFLOP/s in {precision}")
    size, sampler = snakemake.params.size, snakemake.wildcards.sampler
    rows = time_sampler(config, size, sampler, device, precision, matmul, report)
    about = {"matmul_tflops": matmul / 1e12, "provenance": provenance(device, precision)}
    write_json(snakemake.output[0], {"rows": rows} | about)
