"""Measure as many real test images as the curves draw samples."""

from nfbench.data.datasets import balanced_indices, load_section
from nfbench.job import job
from nfbench.measure.budget import write_curve
from nfbench.measure.scores import read_references, scores
from nfbench.sample.floors import real_images
from nfbench.sample.sample_set import to_sample_set
from nfbench.train.resumable import Place

with job(snakemake.log[0], snakemake.threads):
    chosen = snakemake.params
    place = Place.chosen(chosen.device, chosen.precision)
    test = load_section(chosen.data).test
    real = test.subset(balanced_indices(test.labels, chosen.n_samples, chosen.seed))
    classifier = snakemake.input.classifier
    row = scores(
        to_sample_set(real_images(real, 0.0, chosen.seed), {}),
        read_references(snakemake.input.references, classifier),
        classifier,
        place.device,
    )
    write_curve(snakemake.output[0], [row], place, arm="floor", seed=chosen.seed, n_samples=chosen.n_samples)
