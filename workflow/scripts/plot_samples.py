"""Show all samplers' images from the same noise and labels side by side."""

from nfbench.data.datasets import load_section
from nfbench.job import job
from nfbench.report import figures, style
from nfbench.sample.sample_set import read_sample_set

COLUMNS = 20

with job(snakemake.log[0]) as report:
    sets = [read_sample_set(path) for path in snakemake.input.samples]
    classes = load_section(snakemake.params.data).test.classes
    rows = [
        (name, samples.images[:COLUMNS])
        for name, samples in zip(snakemake.params.samplers, sets, strict=True)
    ]
    titles = [classes[label] if label >= 0 else "" for label in sets[0].labels[:COLUMNS]]
    style.save(figures.image_rows(rows, titles), snakemake.output.png, snakemake.output.pdf)
