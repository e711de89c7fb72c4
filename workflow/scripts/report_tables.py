"""Join this run's measurements with the committed references; write tables and claims."""

from pathlib import Path

from nfbench.files import atomic_path
from nfbench.measurements import write_frame
from nfbench.report.cells import read_measured
from nfbench.report.claims import evaluate, page, read_claims
from nfbench.report.table_specs import read_specs
from nfbench.report.tables import make
from nfbench.script import script

with script(snakemake.log[0]) as report:
    given, made = snakemake.input, snakemake.output
    rows, experiments = read_measured([*given.measurements, *given.references])
    write_frame(made.measurements, rows)
    folder = Path(made.measurements).parent
    for name, spec in read_specs(given.specs).items():
        report(f"{name}: {len(make(spec, rows, experiments, folder))} rows")
    lines, evidence = evaluate(read_claims(given.claims), rows, experiments)
    for path, frame in ((made.claims, lines), (made.evidence, evidence)):
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False)
    with atomic_path(made.claims_page) as temporary:
        temporary.write_text(page(lines, evidence))
    for verdict, count in lines["verdict"].str.split(" (", regex=False).str[0].value_counts().items():
        report(f"{count} claims {verdict}")
