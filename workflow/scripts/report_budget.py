"""Join the curves of quality against training time, draw them, and say when arms pass the exact inverse."""

import pandas as pd

from nfbench.files import write_json
from nfbench.job import job
from nfbench.measure.budget import budget_table
from nfbench.report.budget_figures import budget_figure
from nfbench.report.style import save
from nfbench.report.tables import write_csv, write_markdown
from nfbench.trace.manifest import traced

with job(snakemake.log[0]) as report:
    made, spaces = snakemake.output, list(snakemake.params.spaces)
    read = snakemake.input
    files = {"flows": list(read.flows), "arms": list(read.arms), "floor": [read.floor]}
    flow, arms, rows = budget_table(read.flows, read.arms, read.floor, spaces)
    write_csv(made.csv, pd.DataFrame(rows))
    write_csv(made.curves, pd.concat([flow, arms]))
    write_markdown(made.markdown, pd.DataFrame(rows))
    floors = {row["measure"]: row["floor"] for row in rows}
    save(budget_figure(arms, flow, spaces, floors), made.png, made.pdf)
    write_json(made.origin, traced(made.csv, {"kind": "budget", "spaces": spaces, "files": files}, "results"))
    for row in rows:
        report(str(row))
