"""Draw quality against the number of samples."""

from pathlib import Path

from nfbench.files import read_json
from nfbench.job import job
from nfbench.report import style
from nfbench.report.quality_figures import quality_against_size

FLOORS = {"floor": "real images", "floor-noisy": "real images + flow noise"}

with job(snakemake.log[0]) as report:
    quality = {}
    for path in [*snakemake.input.quality, *snakemake.input.floors]:
        quality.setdefault(Path(path).parent.name, []).append(read_json(path))
    figure = quality_against_size(quality, FLOORS, snakemake.params.spaces)
    style.save(figure, snakemake.output.png, snakemake.output.pdf)
