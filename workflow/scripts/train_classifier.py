"""Train the domain classifier of a data set."""

from nfbench.data.datasets import load_section
from nfbench.measure.quality.classifier import CLASSIFIER_SETTINGS, save_classifier, train_classifier
from nfbench.runtime import resolve_device
from nfbench.script import script

CLASSIFIER_SEED = 0  # one classifier for all seeds of all experiments

with script(snakemake.log[0], snakemake.threads) as report:
    splits = load_section(snakemake.params.data)
    model = train_classifier(
        splits.train,
        splits.validation,
        seed=CLASSIFIER_SEED,
        device=resolve_device(snakemake.params.device),
        report=report,
        **CLASSIFIER_SETTINGS.get(snakemake.params.data["name"], {}),
    )
    save_classifier(snakemake.output.weights, model)
