"""Judge the papers' claims by what the tables hold, own ones and committed ones."""

from pathlib import Path

import yaml

from nfbench.files import write_json
from nfbench.job import job
from nfbench.report.claims import read_claims
from nfbench.report.claims_table import claims_tables, write_page
from nfbench.report.evidence_tables import read_tables
from nfbench.report.tables import write_csv
from nfbench.trace.manifest import traced

with job(snakemake.log[0]) as report:
    given, made = snakemake.input, snakemake.output
    claims = read_claims(given.claims, yaml.safe_load(Path(given.schema).read_text()))
    tables = read_tables([*given.own, *snakemake.params.others])
    lines, measured = claims_tables(claims, tables)
    write_csv(made.csv, lines)
    write_csv(made.evidence, measured)
    write_page(made.markdown, lines, measured)
    files = {"claims": [given.claims], "schema": [given.schema], "tables": list(map(str, tables))}
    write_json(made.origin, traced(made.csv, {"kind": "claims", "files": files}, "results"))
    for name, verdict in zip(lines["id"], lines["verdict"], strict=True):
        report(f"{name}: {verdict}")
