"""Train a learned reverse, and draw from it every so often."""

import dataclasses
from functools import partial
from pathlib import Path

import pandas as pd

from baselines import load_flow
from biflow import OneStep
from biflow.recipes import RECIPES
from nfbench.config import DataConfig, build
from nfbench.data.datasets import load
from nfbench.device import resolve_device, resolve_precision
from nfbench.files import atomic_path, sha256_file
from nfbench.job import job
from nfbench.measure.budget import measure_while_training
from nfbench.measure.scores import read_references, scores
from nfbench.provenance import config_hash, device_name, provenance
from nfbench.train.batches import ResidentBatches
from nfbench.train.loop import Trainer

with job(snakemake.log[0], snakemake.threads) as report:
    chosen = snakemake.params
    recipe = RECIPES[chosen.method]
    config = build(recipe.config, chosen.model)
    device = resolve_device(chosen.device)
    precision = resolve_precision(chosen.precision, device)
    splits = load(**dataclasses.asdict(build(DataConfig, chosen.data)))
    flow, meta = load_flow(snakemake.input.flow)
    flow.requires_grad_(False).to(device)
    classifier = snakemake.input.classifier
    references = read_references(snakemake.input.references, classifier)
    resume = Path(snakemake.output[0]).with_suffix(".resume.pt")
    trained = Trainer(
        recipe.make(config, flow, splits.train, chosen.seed),
        recipe.loss(config, flow, classifier),
        ResidentBatches(splits.train, config.training.batch_size, chosen.seed, device),
        config.training,
        seed=chosen.seed,
        device=device,
        precision=precision,
        evaluate=measure_while_training(
            lambda model: OneStep(model, chosen.method),
            seed=chosen.seed,
            n=chosen.n_samples,
            batch_size=chosen.batch_size,
            device=device,
            score=partial(scores, references=references, classifier=classifier, device=device),
        ),
        resume=resume,
        resume_key=config_hash(
            {
                "on": [precision, device_name(device)],
                "seed": chosen.seed,
                "model": chosen.model,
                "flow": sha256_file(snakemake.input.flow),
                "n": chosen.n_samples,
            }
        ),
        report=report,
    ).run()
    curve = pd.DataFrame(trained.curve)
    curve["total_seconds"] = curve["seconds"] + meta["training"]["seconds"]
    origin = provenance(device, precision)
    with atomic_path(snakemake.output[0]) as temporary:
        curve.assign(
            arm=snakemake.wildcards.arm,
            method=chosen.method,
            seen_spaces=" ".join(recipe.seen_spaces(config)),
            seed=chosen.seed,
            n_samples=chosen.n_samples,
            device=origin["device"],
            precision=precision,
            commit=origin["commit"],
        ).to_csv(temporary, index=False)
    resume.unlink(missing_ok=True)
