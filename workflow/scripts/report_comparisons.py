"""Compare the objectives or the ablations over seeds, with the paper's numbers beside ours."""

from nfbench.files import write_json
from nfbench.job import job
from nfbench.report.ablations import in_words
from nfbench.report.tables import write_csv, write_markdown
from nfbench.trace.collect import COMPARISON_FILES, collect_comparison
from nfbench.trace.manifest import traced

with job(snakemake.log[0]) as report:
    made, number = snakemake.output, int(snakemake.wildcards.table)
    chosen = {name: getattr(snakemake.params, name) for name in ("experiment", "rows", "base")}
    files = {kind: list(getattr(snakemake.input, kind)) for kind in COMPARISON_FILES}
    table, verdicts = collect_comparison(number=number, files=files, **chosen)
    words = in_words(verdicts)
    write_csv(made.csv, table)
    write_csv(made.verdicts, verdicts)
    write_markdown(made.markdown, table, words)
    recipe = {"kind": "comparison", "table": number, **chosen, "files": files}
    write_json(made.origin, traced(made.csv, recipe, "results"))
    for line in words:
        report(line)
