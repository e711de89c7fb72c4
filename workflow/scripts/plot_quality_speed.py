"""Draw quality against latency."""

import biflow  # noqa: F401, registers the samplers that the figure asks about
from nfbench.job import job
from nfbench.report import figures, style
from nfbench.report.tables import read_table

with job(snakemake.log[0]) as report:
    rows = read_table(snakemake.input.table)
    spaces = {space: figures.SPACE_TITLES[space] for space in snakemake.params.spaces}
    figure = figures.quality_against_speed(rows, spaces)
    style.save(figure, snakemake.output.png, snakemake.output.pdf)
