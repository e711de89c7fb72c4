"""Compute the statistics of the reference images in one feature space."""

from nfbench.data.datasets import balanced_indices, load_section
from nfbench.device import resolve_device
from nfbench.job import job
from nfbench.measure.features import extract, weights_sha256
from nfbench.measure.quality import write_reference

REFERENCE_SEED = 0  # the reference is part of the instrument, and the same for every seed

with job(snakemake.log[0], snakemake.threads) as report:
    train = load_section(snakemake.params.data).train
    reference = train.subset(balanced_indices(train.labels, snakemake.params.n_reference, REFERENCE_SEED))
    space, classifier = snakemake.wildcards.space, snakemake.input.classifier or None
    features = extract(
        space,
        reference.images,
        classifier=classifier,
        device=resolve_device(snakemake.params.device),
        report=report,
    )
    write_reference(
        snakemake.output.statistics,
        features,
        space=space,
        data_sha256=reference.sha256,
        weights_sha256=weights_sha256(space, classifier),
    )
