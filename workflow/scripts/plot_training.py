"""Draw the training curves."""

import pandas as pd

from nfbench.job import job
from nfbench.report import figures, style

with job(snakemake.log[0]) as report:
    forward = [pd.read_csv(path) for path in snakemake.input.forward]
    reverse = {
        method: [pd.read_csv(p) for p in snakemake.input.reverses if p.split("/")[-2] == method]
        for method in snakemake.params.methods
    }
    style.save(figures.training_curves(forward, reverse), snakemake.output.png, snakemake.output.pdf)
