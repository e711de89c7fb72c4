"""Draw quality against latency."""

import pandas as pd

from nfbench.job import job
from nfbench.report import figures, style

TITLES = {"effnet": "EfficientNet-Lite0 features", "classifier": "domain classifier features"}

with job(snakemake.log[0]) as report:
    rows = pd.read_csv(snakemake.input.table)
    spaces = {space: TITLES[space] for space in snakemake.params.spaces}
    figure = figures.quality_against_speed(rows, spaces)
    style.save(figure, snakemake.output.png, snakemake.output.pdf)
