"""Draw quality against latency."""

import biflow  # noqa: F401, registers the samplers that the figure asks about
from nfbench.job import job
from nfbench.report import style
from nfbench.report.figures import SPACE_TITLES
from nfbench.report.quality_figures import quality_against_speed
from nfbench.report.tables import read_table

with job(snakemake.log[0]) as report:
    rows = read_table(snakemake.input.table)
    spaces = {space: SPACE_TITLES[space] for space in snakemake.params.spaces}
    style.save(quality_against_speed(rows, spaces), snakemake.output.png, snakemake.output.pdf)
