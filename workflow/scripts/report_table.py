"""Collect everything measured of one experiment, one row a sampler."""

import biflow  # noqa: F401, registers the learned reverses
from nfbench.files import write_json
from nfbench.job import job
from nfbench.report.tables import write_csv
from nfbench.trace.collect import TABLE1_FILES, collect_table1
from nfbench.trace.manifest import traced

with job(snakemake.log[0]) as report:
    experiment, samplers = snakemake.wildcards.experiment, list(snakemake.params.samplers)
    files = {kind: list(getattr(snakemake.input, kind)) for kind in TABLE1_FILES}
    write_csv(snakemake.output.csv, collect_table1(experiment, samplers, files))
    recipe = {"kind": "part", "samplers": samplers, "files": files}
    write_json(snakemake.output.origin, traced(snakemake.output.csv, recipe, "results"))
