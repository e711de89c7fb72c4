"""Train a reverse model against its frozen flow."""

import dataclasses
from pathlib import Path

import pandas as pd

from baselines import load_flow
from biflow.recipes import RECIPES
from nfbench.config import DataConfig, build
from nfbench.data.datasets import load
from nfbench.device import resolve_device, resolve_precision
from nfbench.files import atomic_path, sha256_file
from nfbench.job import job
from nfbench.provenance import config_hash, provenance
from nfbench.sample.contestant import contestant
from nfbench.train.batches import ResidentBatches
from nfbench.train.loop import Trainer

with job(snakemake.log[0], snakemake.threads) as report:
    method = snakemake.wildcards.method
    recipe = RECIPES[contestant(method).method]
    config = build(recipe.config, snakemake.params.model)
    device = resolve_device(snakemake.params.device)
    precision = resolve_precision(snakemake.params.precision, device)
    seed = int(snakemake.wildcards.seed)
    splits = load(**dataclasses.asdict(build(DataConfig, snakemake.params.data)))
    flow, flow_meta = load_flow(snakemake.input.flow)
    flow.requires_grad_(False).to(device)

    classifier = snakemake.input.classifier or None
    resume = Path(snakemake.output.weights).with_suffix(".resume.pt")
    trained = Trainer(
        recipe.make(config, flow, splits.train, seed),
        recipe.loss(config, flow, classifier),
        ResidentBatches(splits.train, config.training.batch_size, seed, device),
        config.training,
        seed=seed,
        device=device,
        precision=precision,
        compile=snakemake.params.compile,
        evaluate=recipe.validation_measure(flow, splits.validation),
        resume=resume,
        resume_key=config_hash(
            {
                "on": [precision, device.type],
                "seed": seed,
                "model": snakemake.params.model,
                "flow": sha256_file(snakemake.input.flow),
                "classifier": sha256_file(classifier) if classifier else None,
            }
        ),
        report=report,
    ).run()

    meta = {
        "training": {
            "seconds": trained.seconds,
            "seed": seed,
            "steps": config.training.steps,
            "devices": trained.devices,
            "method": method,
            "seen_spaces": recipe.seen_spaces(config),
            "config": config_hash(snakemake.params.model),
            "flow_sha256": sha256_file(snakemake.input.flow),
            "flow_seconds": flow_meta["training"]["seconds"],
        },
        "provenance": provenance(device, precision),
    }
    with atomic_path(snakemake.output.curve) as temporary:
        pd.DataFrame(trained.curve).to_csv(temporary, index=False)
    recipe.save(snakemake.output.weights, trained.model, meta)
    resume.unlink(missing_ok=True)
