"""Draw the speed-up over the fastest exact inverse against the batch size."""

import biflow  # noqa: F401, registers the samplers that the figure asks about
from nfbench.job import job
from nfbench.report import style
from nfbench.report.speed_figures import speedup_against_batch
from nfbench.report.speed_table import read_speed

with job(snakemake.log[0]) as report:
    figure = speedup_against_batch(read_speed(snakemake.input.table))
    style.save(figure, snakemake.output.png, snakemake.output.pdf)
