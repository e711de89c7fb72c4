"""Join this run's measurements with the committed references; write tables and claims."""

from pathlib import Path

import pandas as pd
import yaml

from nfbench.files import atomic_path
from nfbench.measurements import read_rows, write_frame
from nfbench.report.claims import evaluate, page, read_claims
from nfbench.report.table_specs import read_specs
from nfbench.report.tables import build, verdicts, write
from nfbench.script import script

with script(snakemake.log[0]) as report:
    given, made = snakemake.input, snakemake.output
    rows = read_rows([*given.measurements, *given.references])
    experiments = {}
    for path in [*given.measurements, *given.references]:
        part = read_rows(path)
        about = yaml.safe_load(Path(path).with_name("experiment.yaml").read_text())
        experiments |= dict.fromkeys(part[["origin", "experiment"]].itertuples(index=False, name=None), about)
    write_frame(made.measurements, rows)
    folder = Path(made.measurements).parent
    for name, spec in read_specs(given.specs).items():
        frame = build(spec, rows, experiments)
        write(frame, spec, folder, verdicts(spec, rows, experiments) if spec.verdicts else None)
        report(f"{name}: {len(frame)} rows")
    lines, evidence = evaluate(read_claims(given.claims), rows, experiments)
    for path, frame in ((made.claims, lines), (made.evidence, evidence)):
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False)
    with atomic_path(made.claims_page) as temporary:
        temporary.write_text(page(lines, evidence))
    for verdict, count in (
        pd.Series(lines["verdict"]).str.split(" (", regex=False).str[0].value_counts().items()
    ):
        report(f"{count} claims {verdict}")
