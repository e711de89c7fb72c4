"""Copy the figures and tables of an experiment's sections, with a manifest, to where they are committed."""

import shutil
from pathlib import Path

from nfbench.files import atomic_path, read_json, sha256_file, write_json
from nfbench.job import job
from nfbench.provenance import check_device, config_hash

with job(snakemake.log[0]) as report:
    origins = {path: read_json(path)["provenance"] for path in snakemake.input.measured}
    for path, origin in origins.items():
        check_device(path, origin, snakemake.wildcards.device)
    folder = Path(snakemake.output.folder)
    folder.mkdir(parents=True, exist_ok=True)
    kept = [*snakemake.input.figures, *snakemake.input.tables]
    for source in kept:
        with atomic_path(folder / Path(source).name) as temporary:
            shutil.copyfile(source, temporary)
    write_json(
        snakemake.output.manifest,
        {
            "experiment": snakemake.wildcards.experiment,
            "config": snakemake.params.config,
            "config_hash": config_hash(snakemake.params.config),
            "files": {Path(path).name: sha256_file(folder / Path(path).name) for path in kept},
            "measurements": {
                path: {"sha256": sha256_file(path), "provenance": origin} for path, origin in origins.items()
            },
        },
    )
    report(f"{len(kept)} files in {folder}")
