"""Collect where every table comes from."""

from pathlib import Path

from nfbench.files import read_json, write_json
from nfbench.job import job
from nfbench.provenance import config_hash, provenance
from nfbench.trace.manifest import ORIGIN, VERSION, with_forms

with job(snakemake.log[0]) as report:
    tables = {}
    for path in [*snakemake.input.origins, *snakemake.params.others]:
        table = Path(path.removesuffix(ORIGIN) + ".csv")
        tables[table.name] = with_forms(read_json(path), table, "results")
        report(f"{table}: {len(tables[table.name]['files'])} files")
    configs = {name: config_hash(values) for name, values in snakemake.params.configs.items()}
    manifest = {"version": VERSION, "provenance": provenance(), "config_hashes": configs, "tables": tables}
    write_json(snakemake.output[0], manifest)
