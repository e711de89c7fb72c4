"""Join this run's measurements with the committed references; write tables and claims."""

from pathlib import Path

from nfbench.measurements import write_frame
from nfbench.report.cells import read_measured
from nfbench.report.claims import write_claims
from nfbench.report.claims_page import counted
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
    lines = write_claims(given.claims, rows, experiments, folder)
    report(f"claims: {counted(lines)}")
