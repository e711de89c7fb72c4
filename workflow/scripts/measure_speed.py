"""Time every sampler of an experiment in processes of its own."""

from nfbench.measure.speed.benchmark import measure
from nfbench.measurements import write_rows
from nfbench.script import script

with script(snakemake.log[0]) as report:  # computes nothing with torch itself
    params = snakemake.params
    where = {"device": params.device, "threads": snakemake.threads}
    write_rows(snakemake.output.rows, measure(params.rows, params.speed, **where, report=report))
