"""Join the measured speeds into one table."""

import biflow  # noqa: F401 - registers the samplers
from nfbench.files import atomic_path, read_json
from nfbench.job import job
from nfbench.report.paper_speed import markdown, speed_table

with job(snakemake.log[0]) as report:
    table = speed_table(
        snakemake.wildcards.experiment, [read_json(path) for path in snakemake.input.measured]
    )
    with atomic_path(snakemake.output.csv) as temporary:
        table.to_csv(temporary, index=False)
    with atomic_path(snakemake.output.markdown) as temporary:
        temporary.write_text(markdown(table))
    report(f"{len(table)} rows")
