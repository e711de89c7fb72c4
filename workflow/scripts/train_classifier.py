"""Train the domain classifier."""

from nfbench.config import ClassifierConfig, build
from nfbench.data.datasets import load_section
from nfbench.device import resolve_device
from nfbench.job import job
from nfbench.measure.classifier import save_classifier, train_classifier

CLASSIFIER_SEED = 0  # one classifier for all seeds of an experiment: it is part of the instrument

with job(snakemake.log[0], snakemake.threads) as report:
    config = build(ClassifierConfig, snakemake.params.classifier)
    splits = load_section(snakemake.params.data)
    model = train_classifier(
        splits.train,
        splits.validation,
        seed=CLASSIFIER_SEED,
        width=config.width,
        epochs=config.epochs,
        batch_size=config.batch_size,
        lr=config.learning_rate,
        device=resolve_device(snakemake.params.device),
        report=report,
    )
    save_classifier(snakemake.output.weights, model)
