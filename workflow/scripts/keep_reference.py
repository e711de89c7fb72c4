"""Copy an experiment's table and figures, with a manifest, to where they are committed."""

import shutil
from pathlib import Path

import pandas as pd

from nfbench.errors import UserError
from nfbench.files import sha256_file, write_json
from nfbench.job import job
from nfbench.provenance import config_hash
from nfbench.report.tables import write_markdown
from nfbench.sample.sample_set import read_sample_set

with job(snakemake.log[0]) as report:
    folder = Path(snakemake.output.manifest).parent
    samples = {path: read_sample_set(path).meta for path in snakemake.input.samples}
    wanted = "cpu" if snakemake.wildcards.device == "cpu" else "cuda"
    for path, meta in samples.items():
        if meta["provenance"]["device_type"] != wanted:
            raise UserError(
                f"{path} was drawn on {meta['provenance']['device']}, which is not"
                f" '{snakemake.wildcards.device}'; name the folder after the device."
            )
    kept = []
    for path in map(Path, (snakemake.input.csv, *snakemake.input.figures)):
        target = folder / ("figures" if path.suffix in (".png", ".pdf") else "") / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        kept.append(target)
    write_markdown(folder / "table1.md", pd.read_csv(snakemake.input.csv))
    kept.append(folder / "table1.md")
    write_json(
        snakemake.output.manifest,
        {
            "experiment": snakemake.wildcards.experiment,
            "config": snakemake.params.config,
            "config_hash": config_hash(snakemake.params.config),
            "files": {str(path.relative_to(folder)): sha256_file(path) for path in sorted(kept)},
            "sample_sets": {path: sha256_file(path) for path in samples},
            "provenance": next(iter(samples.values()))["provenance"],
        },
    )
    report(f"{len(kept)} files in {folder}")
