"""Join the curves of quality against training time, draw them, and say when arms pass the exact inverse."""

import pandas as pd

from nfbench.job import job
from nfbench.measure.budget import crossings
from nfbench.report.budget_figures import budget_figure
from nfbench.report.style import save
from nfbench.report.tables import write_csv, write_markdown

with job(snakemake.log[0]) as report:
    flow = pd.read_csv(snakemake.input.forward)
    arms = pd.concat([pd.read_csv(path) for path in snakemake.input.arms], ignore_index=True)
    rows = []
    for space in snakemake.params.spaces:
        measure = f"fd_{space}"
        passed, halved = (crossings(arms, flow, measure, factor) for factor in (1.0, 0.5))
        for arm, curve in arms.groupby("arm", sort=False):
            rows.append(
                {
                    "arm": arm,
                    "measure": measure,
                    "seen_by_its_loss": space in str(curve["seen_spaces"].iloc[0]).split(),
                    "best": curve[measure].min(),
                    "seconds_until_below_the_exact_inverse": passed[arm],
                    "seconds_until_half_of_it": halved[arm],
                }
            )
    write_csv(snakemake.output.csv, pd.concat([flow.assign(total_seconds=flow["seconds"]), arms]))
    write_markdown(snakemake.output.markdown, pd.DataFrame(rows))
    save(budget_figure(arms, flow, snakemake.params.spaces), snakemake.output.png, snakemake.output.pdf)
    for row in rows:
        report(str(row))
