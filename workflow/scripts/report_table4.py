"""Put this machine's speed beside that of the references and the published one."""

from nfbench.files import atomic_path, write_json
from nfbench.job import job
from nfbench.provenance import commit
from nfbench.report.paper_numbers import read_paper_numbers
from nfbench.report.table4 import in_markdown, table4
from nfbench.report.tables import write_csv
from nfbench.trace.manifest import traced

KINDS = ("tables", "references")

with job(snakemake.log[0]) as report:
    made, files = snakemake.output, {kind: list(getattr(snakemake.input, kind)) for kind in KINDS}
    recipe = {"kind": "table4", "commit": commit(), "files": files}
    rows = table4(files["tables"], files["references"], read_paper_numbers(), recipe["commit"])
    write_csv(made.csv, rows)
    write_json(made.origin, traced(made.csv, recipe, "results"))
    with atomic_path(made.markdown) as temporary:
        temporary.write_text(in_markdown(rows))
    report(f"{len(rows)} rows, {rows['marks'].notna().sum()} of them marked")
