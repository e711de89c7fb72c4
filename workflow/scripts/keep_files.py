"""Copy tables and figures, with a manifest of what they rest on, to where they are committed."""

import shutil
from pathlib import Path

from nfbench.files import atomic_path, read_json, sha256_file, write_json
from nfbench.job import job
from nfbench.provenance import check_device, config_hash

with job(snakemake.log[0]) as report:
    kept = snakemake.output.files
    measured = {path: read_json(path) for path in snakemake.input.measured}
    for path, result in measured.items():
        check_device(path, result["provenance"], snakemake.wildcards.device)
    for source, target in zip(snakemake.input.files, kept, strict=True):
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    write_json(
        snakemake.output.manifest,
        {
            "experiment": snakemake.wildcards.experiment,
            "config": snakemake.params.config,
            "config_hash": config_hash(snakemake.params.config),
            "files": {Path(path).name: sha256_file(path) for path in kept},
            "measurements": {
                path: {"sha256": sha256_file(path), "provenance": result["provenance"]}
                for path, result in measured.items()
            },
        },
    )
    report(f"{len(kept)} files in {Path(snakemake.output.manifest).parent}")
