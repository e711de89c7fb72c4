"""Collect what was measured of edited images over all seeds."""

from nfbench.files import read_json
from nfbench.job import job
from nfbench.report.editing_table import editing_table
from nfbench.report.tables import write_csv, write_markdown

with job(snakemake.log[0]) as report:
    measured = [read_json(path) for path in snakemake.input.measured]
    rows = editing_table(snakemake.wildcards.experiment, measured)
    write_csv(snakemake.output.csv, rows)
    write_markdown(snakemake.output.markdown, rows)
    report(f"{len(rows)} rows")
