"""Compute the statistics of the reference images in one feature space."""

from nfbench.data.datasets import balanced_indices, load_section
from nfbench.measure.quality.distances import write_reference
from nfbench.measure.quality.features import extract, weights_sha256
from nfbench.runtime import resolve_device
from nfbench.script import script

REFERENCE_SEED = 0  # one reference for all seeds of all experiments

with script(snakemake.log[0], snakemake.threads) as report:
    train = load_section(snakemake.params.data).train
    n = int(snakemake.wildcards.n)
    reference = train.subset(balanced_indices(train.labels, n, REFERENCE_SEED))
    space, classifier = snakemake.wildcards.space, snakemake.input.classifier or None
    device = resolve_device(snakemake.params.device)
    features = extract(space, reference.images, classifier=classifier, device=device, report=report)
    write_reference(
        snakemake.output.statistics,
        features,
        space=space,
        data_sha256=reference.sha256,
        weights_sha256=weights_sha256(space, classifier),
    )
