"""Show the nearest training image beside some samples."""

from nfbench.data.datasets import balanced_indices, load_section
from nfbench.job import job
from nfbench.measure.nearest import nearest
from nfbench.report import figures, style
from nfbench.sample.sample_set import read_sample_set

SHOWN = 16
MEASURED = 1000

with job(snakemake.log[0], snakemake.threads) as report:
    splits = load_section(snakemake.params.data)
    train, test = splits.train, splits.test
    chosen = balanced_indices(test.labels, min(MEASURED, len(test)), seed=0)
    distances = {"test images": nearest(test.images[chosen], train.images)[1]}
    for name, path in zip(snakemake.params.samplers, snakemake.input.samples, strict=True):
        samples = read_sample_set(path).images[:MEASURED]
        neighbours, distances[name] = nearest(samples, train.images)
    # The last sampler of the table is shown: the learned reverse, where there is one.
    figure = figures.nearest_training_images(
        samples[:SHOWN], train.images[neighbours[:SHOWN]], distances[name][:SHOWN], distances
    )
    style.save(figure, snakemake.output.png, snakemake.output.pdf)
