"""Draw quality and label accuracy against the scale of guidance, and write them as a table."""

import pandas as pd

from nfbench.files import read_json
from nfbench.job import job
from nfbench.report import guidance_figures, style
from nfbench.report.figures import SPACE_TITLES
from nfbench.report.guidance_table import guidance_table
from nfbench.report.tables import write_csv

with job(snakemake.log[0]) as report:
    measured = [read_json(path) for path in snakemake.input.measured]
    rows = pd.DataFrame([row | {"seed": one["seed"]} for one in measured for row in one["rows"]])
    floors = pd.DataFrame([one["floor"] for one in measured])
    spaces = {
        space: SPACE_TITLES[space] + (guidance_figures.NO_VERDICT if facts["rank_deficient"] else "")
        for space, facts in measured[0]["spaces"].items()
    }
    figure = guidance_figures.quality_against_guidance(rows, floors, spaces)
    style.save(figure, snakemake.output.png, snakemake.output.pdf)
    write_csv(snakemake.output.csv, guidance_table(snakemake.wildcards.experiment, measured))
