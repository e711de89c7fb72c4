"""Put this machine's speed beside that of the references and the published one."""

from nfbench.files import atomic_path
from nfbench.job import job
from nfbench.provenance import commit
from nfbench.report.paper_numbers import read_paper_numbers
from nfbench.report.table4 import in_markdown, table4
from nfbench.report.tables import write_csv

with job(snakemake.log[0]) as report:
    numbers = read_paper_numbers()
    rows = table4(list(snakemake.input.tables), list(snakemake.input.references), numbers, commit())
    write_csv(snakemake.output.csv, rows)
    with atomic_path(snakemake.output.markdown) as temporary:
        temporary.write_text(in_markdown(rows))
    report(f"{len(rows)} rows, {rows['marks'].notna().sum()} of them marked")
