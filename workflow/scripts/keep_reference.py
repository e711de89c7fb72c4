"""Copy an experiment's table and figures, with a manifest, to where they are committed."""

import shutil
from pathlib import Path

from nfbench.files import atomic_path, sha256_file, write_json
from nfbench.job import job
from nfbench.provenance import check_device, config_hash
from nfbench.report.tables import read_table, write_markdown
from nfbench.sample.sample_set import read_sample_set

with job(snakemake.log[0]) as report:
    made = snakemake.output
    samples = {path: read_sample_set(path).meta for path in snakemake.input.samples}
    for path, meta in samples.items():
        check_device(path, meta["provenance"], snakemake.wildcards.device)
    folder = Path(made.manifest).parent
    figures = Path(made.figures)
    figures.mkdir(parents=True, exist_ok=True)
    kept_figures = [figures / Path(path).name for path in snakemake.input.figures]
    sources = [snakemake.input.csv, *snakemake.input.figures]
    for source, target in zip(sources, [made.csv, *kept_figures], strict=True):
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    write_markdown(made.markdown, read_table(made.csv))
    kept = sorted(map(Path, [made.csv, made.markdown, *kept_figures]))
    write_json(
        made.manifest,
        {
            "experiment": snakemake.wildcards.experiment,
            "config": snakemake.params.config,
            "config_hash": config_hash(snakemake.params.config),
            "files": {str(path.relative_to(folder)): sha256_file(path) for path in kept},
            "sample_sets": {
                path: {"sha256": sha256_file(path), "provenance": meta["provenance"]}
                for path, meta in samples.items()
            },
        },
    )
    report(f"{len(kept)} files in {folder}")
