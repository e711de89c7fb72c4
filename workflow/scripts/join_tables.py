"""Join the tables of the configured experiments."""

from nfbench.files import read_json, write_json
from nfbench.job import job
from nfbench.report.tables import join, write_csv, write_markdown
from nfbench.trace.manifest import joined

with job(snakemake.log[0]) as report:
    rows = join(snakemake.input.tables)
    write_csv(snakemake.output.csv, rows)
    write_markdown(snakemake.output.markdown, rows)
    names, origins = snakemake.params.experiments, snakemake.input.origins
    parts = {name: read_json(path) for name, path in zip(names, origins, strict=True)}
    recipe = {"kind": "table1", "registers": ["biflow"]}
    write_json(snakemake.output.origin, joined(snakemake.output.csv, parts, recipe))
    report(f"{len(rows)} rows")
