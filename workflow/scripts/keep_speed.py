"""Copy an experiment's table and figure of speed, with a manifest, to where they are committed."""

import shutil
from pathlib import Path

from nfbench.files import atomic_path, sha256_file, write_json
from nfbench.job import job
from nfbench.provenance import check_device, config_hash
from nfbench.rounds import read_protocol

with job(snakemake.log[0]) as report:
    made, protocol = snakemake.output, read_protocol(snakemake.input.protocol)
    check_device(snakemake.input.protocol, protocol["provenance"], snakemake.wildcards.device)
    folder = Path(made.manifest).parent
    kept = {snakemake.input.csv: made.csv, **dict(zip(snakemake.input.figures, made.figures, strict=True))}
    for source, target in kept.items():
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    write_json(
        made.manifest,
        {
            "experiment": snakemake.wildcards.experiment,
            "config": snakemake.params.config,
            "config_hash": config_hash(snakemake.params.config),
            "files": {str(Path(path).relative_to(folder)): sha256_file(path) for path in kept.values()},
            "measurements": {
                snakemake.input.protocol: {
                    "sha256": sha256_file(snakemake.input.protocol),
                    "provenance": protocol["provenance"],
                    "orders": protocol["orders"],
                    "repeatability": protocol["repeatability"],
                }
            },
        },
    )
    report(f"{len(kept)} files in {folder}")
