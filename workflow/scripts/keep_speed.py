"""Copy an experiment's table and figure of speed, with a manifest, to where they are committed."""

from nfbench.job import job
from nfbench.rounds import read_protocol
from nfbench.trace.keep import keep

TOLD = ("provenance", "orders", "repeatability")

with job(snakemake.log[0]) as report:
    made, protocol = snakemake.output, read_protocol(snakemake.input.protocol)
    figures = dict(zip(snakemake.input.figures, made.figures, strict=True))
    keep(
        {snakemake.input.csv: made.csv, **figures},
        made.manifest,
        {snakemake.input.protocol: {name: protocol[name] for name in TOLD}},
        experiment=snakemake.wildcards.experiment,
        device=snakemake.wildcards.device,
        config=snakemake.params.config,
    )
    report(f"table and {len(figures)} figures beside {made.manifest}")
