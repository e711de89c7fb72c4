"""Train the flow on by itself, and draw from it denoised every so often."""

import dataclasses
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from baselines import TarFlow, make_sampler
from baselines.tarflow.training import flow_spec, likelihood_loss
from nfbench.config import DataConfig, ForwardConfig, build
from nfbench.data.datasets import load
from nfbench.device import resolve_device, resolve_precision
from nfbench.files import atomic_path
from nfbench.job import job
from nfbench.measure.budget import measure_while_training
from nfbench.measure.scores import read_references, scores
from nfbench.provenance import config_hash, device_name, provenance
from nfbench.train.batches import ResidentBatches
from nfbench.train.loop import Trainer

EXACT = "sequential-static+denoise"

with job(snakemake.log[0], snakemake.threads) as report:
    chosen = snakemake.params
    config = build(ForwardConfig, chosen.forward)
    device = resolve_device(chosen.device)
    precision = resolve_precision(chosen.precision, device)
    splits = load(**dataclasses.asdict(build(DataConfig, chosen.data)))
    classifier = snakemake.input.classifier
    references = read_references(snakemake.input.references, classifier)
    torch.manual_seed(chosen.seed)
    resume = Path(snakemake.output[0]).with_suffix(".resume.pt")
    trained = Trainer(
        TarFlow(flow_spec(config, splits)).to(device),
        likelihood_loss(config.label_drop),
        ResidentBatches(splits.train, config.training.batch_size, chosen.seed, device),
        config.training,
        seed=chosen.seed,
        device=device,
        precision=precision,
        evaluate=measure_while_training(
            lambda flow: make_sampler(EXACT, flow),
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
                "data": chosen.data,
                "forward": chosen.forward,
                "n": chosen.n_samples,
            }
        ),
        report=report,
    ).run()
    origin = provenance(device, precision)
    with atomic_path(snakemake.output[0]) as temporary:
        pd.DataFrame(trained.curve).assign(
            arm=EXACT,
            seed=chosen.seed,
            n_samples=chosen.n_samples,
            device=origin["device"],
            precision=precision,
            commit=origin["commit"],
        ).to_csv(temporary, index=False)
    resume.unlink(missing_ok=True)
