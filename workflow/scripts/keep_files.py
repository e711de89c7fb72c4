"""Copy tables and figures, with a manifest of what they rest on, to where they are committed."""

from nfbench.files import read_json
from nfbench.job import job
from nfbench.trace.keep import keep


def told(measurement):
    """Return what the manifest tells of a measurement: of quality, where the samples were drawn."""
    return {"provenance": measurement.get("samples", measurement)["provenance"]}


with job(snakemake.log[0]) as report:
    kept = dict(zip(snakemake.input.files, snakemake.output.files, strict=True))
    keep(
        kept,
        snakemake.output.manifest,
        {path: told(read_json(path)) for path in snakemake.input.measured},
        experiment=snakemake.wildcards.experiment,
        device=snakemake.wildcards.device,
        config=snakemake.params.config,
    )
    report(f"{len(kept)} files beside {snakemake.output.manifest}")
