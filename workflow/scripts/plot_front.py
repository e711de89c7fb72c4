"""Draw milliseconds against the error of inversion for every threshold."""

import pandas as pd

from nfbench.files import read_json
from nfbench.job import job
from nfbench.report import inverse_figures, style

with job(snakemake.log[0]) as report:
    rows = pd.DataFrame(read_json(snakemake.input.front)["rows"])
    style.save(inverse_figures.speed_error_front(rows), snakemake.output.png, snakemake.output.pdf)
