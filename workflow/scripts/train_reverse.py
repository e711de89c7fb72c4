"""Train a reverse model against its frozen flow."""

import pandas as pd

from baselines import load_flow
from biflow.recipes import RECIPES
from nfbench.config import build
from nfbench.data.datasets import load_section
from nfbench.files import atomic_path, sha256_file
from nfbench.job import job
from nfbench.provenance import config_hash, provenance
from nfbench.sample.contestant import contestant
from nfbench.train.resumable import Place, training

with job(snakemake.log[0], snakemake.threads) as report:
    chosen, output = snakemake.params, snakemake.output
    method = snakemake.wildcards.method
    recipe = RECIPES[contestant(method).method]
    config = build(recipe.config, chosen.model)
    place = Place.chosen(chosen.device, chosen.precision, chosen.compile)
    seed = int(snakemake.wildcards.seed)
    splits = load_section(chosen.data)
    flow, flow_meta = load_flow(snakemake.input.flow)
    flow.requires_grad_(False).to(place.device)
    flow_sha256 = sha256_file(snakemake.input.flow)
    classifier = snakemake.input.classifier or None

    with training(
        recipe.make(config, flow, splits.train, seed),
        recipe.loss(config, flow, classifier),
        splits.train,
        config.training,
        place=place,
        seed=seed,
        output=output.weights,
        told_by={
            "model": chosen.model,
            "flow": flow_sha256,
            "classifier": sha256_file(classifier) if classifier else None,
        },
        evaluate=recipe.validation_measure(flow, splits.validation),
        report=report,
    ) as trained:
        meta = {
            "training": {
                "seconds": trained.seconds,
                "seed": seed,
                "steps": config.training.steps,
                "devices": trained.devices,
                "method": method,
                "seen_spaces": recipe.seen_spaces(config),
                "config": config_hash(chosen.model),
                "flow_sha256": flow_sha256,
                "flow_seconds": flow_meta["training"]["seconds"],
            },
            "provenance": provenance(place.device, place.precision),
        }
        with atomic_path(output.curve) as temporary:
            pd.DataFrame(trained.curve).to_csv(temporary, index=False)
        recipe.save(output.weights, trained.model, meta)
