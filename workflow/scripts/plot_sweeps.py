"""Draw the sweeps that every block took, and the measures that foretell which are hard."""

import pandas as pd

from nfbench.files import read_json
from nfbench.job import job
from nfbench.report import inverse_figures, style

with job(snakemake.log[0]) as report:
    rows = pd.DataFrame(read_json(snakemake.input.front)["rows"])
    rows = rows[rows["mark"].notna()].drop_duplicates(["method", "mark"])
    difficulty = pd.DataFrame(read_json(snakemake.input.plan)["difficulty"])
    difficulty["hardness_percent"] = 100 * difficulty["hardness"] / difficulty["hardness"].sum()
    figure = inverse_figures.sweeps_per_block(rows, difficulty)
    style.save(figure, snakemake.output.png, snakemake.output.pdf)
