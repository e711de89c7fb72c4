"""Join the tables of the configured experiments."""

from nfbench.job import job
from nfbench.report.tables import join, write_csv, write_markdown

with job(snakemake.log[0]) as report:
    rows = join(snakemake.input.tables)
    write_csv(snakemake.output.csv, rows)
    write_markdown(snakemake.output.markdown, rows)
    report(f"{len(rows)} rows")
