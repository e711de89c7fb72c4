"""Turn the processes of the protocol into one row a sampler, batch size and scale of guidance."""

import biflow  # noqa: F401, registers the learned reverses
from nfbench.job import job
from nfbench.report.speed_table import speed_rows
from nfbench.report.tables import write_csv
from nfbench.rounds import read_protocol

with job(snakemake.log[0]) as report:
    rows = speed_rows(read_protocol(snakemake.input.protocol))
    write_csv(snakemake.output.csv, rows)
    report(f"{len(rows)} rows, {rows['ms_per_image'].isna().sum()} of them missing")
