"""Copy an experiment's table and figures, with a manifest, to where they are committed."""

from pathlib import Path

from nfbench.job import job
from nfbench.report.tables import read_table, write_markdown
from nfbench.sample.sample_set import read_sample_set
from nfbench.trace.keep import keep

with job(snakemake.log[0]) as report:
    made, inputs = snakemake.output, snakemake.input
    figures = {path: Path(made.figures) / Path(path).name for path in inputs.figures}
    write_markdown(made.markdown, read_table(inputs.csv))
    keep(
        {inputs.csv: made.csv, **figures},
        made.manifest,
        {path: {"provenance": read_sample_set(path).meta["provenance"]} for path in inputs.samples},
        experiment=snakemake.wildcards.experiment,
        device=snakemake.wildcards.device,
        config=snakemake.params.config,
        also=[made.markdown],
    )
    report(f"table and {len(figures)} figures beside {made.manifest}")
