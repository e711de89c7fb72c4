"""Copy tables 2 and 3, with a manifest, to where they are committed."""

import shutil
from pathlib import Path

from nfbench.files import atomic_path, read_json, sha256_file, write_json
from nfbench.job import job
from nfbench.provenance import check_device, config_hash

with job(snakemake.log[0]) as report:
    measured = {path: read_json(path) for path in snakemake.input.quality}
    for path, quality in measured.items():
        check_device(path, quality["samples"]["provenance"], snakemake.wildcards.device)
    kept = dict(zip(snakemake.input.tables, snakemake.output.tables, strict=True))
    for source, target in kept.items():
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    write_json(
        snakemake.output.manifest,
        {
            "experiment": snakemake.wildcards.experiment,
            "config": snakemake.params.config,
            "config_hash": config_hash(snakemake.params.config),
            "files": {Path(path).name: sha256_file(path) for path in kept.values()},
            "measurements": {
                path: {"sha256": sha256_file(path), "provenance": quality["provenance"]}
                for path, quality in measured.items()
            },
        },
    )
    report(f"{len(kept)} files in {Path(snakemake.output.manifest).parent}")
