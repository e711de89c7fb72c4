"""Train the forward flow."""

import dataclasses
from pathlib import Path

import pandas as pd
import torch

from baselines import TarFlow, save_flow
from baselines.tarflow.training import flow_spec, likelihood_loss, state_rms, validation_measure
from nfbench.config import DataConfig, ForwardConfig, build
from nfbench.data.datasets import load
from nfbench.device import resolve_device, resolve_precision
from nfbench.files import atomic_path
from nfbench.job import job
from nfbench.provenance import config_hash, provenance
from nfbench.train.batches import ResidentBatches
from nfbench.train.loop import Trainer

with job(snakemake.log[0], snakemake.threads) as report:
    config = build(ForwardConfig, snakemake.params.forward)
    device = resolve_device(snakemake.params.device)
    precision = resolve_precision(snakemake.params.precision, device)
    seed = int(snakemake.wildcards.seed)
    splits = load(**dataclasses.asdict(build(DataConfig, snakemake.params.data)))

    torch.manual_seed(seed)
    flow = TarFlow(flow_spec(config, splits)).to(device)
    resume = Path(snakemake.output.weights).with_suffix(".resume.pt")
    trained = Trainer(
        flow,
        likelihood_loss(config.label_drop),
        ResidentBatches(splits.train, config.training.batch_size, seed, device),
        config.training,
        seed=seed,
        device=device,
        precision=precision,
        compile=snakemake.params.compile,
        evaluate=validation_measure(splits.validation),
        resume=resume,
        resume_key=config_hash(
            {
                "on": [precision, device.type],
                "seed": seed,
                "data": snakemake.params.data,
                "forward": snakemake.params.forward,
            }
        ),
        report=report,
    ).run()

    rms = state_rms(trained.model, splits.validation)
    report("RMS of x_0 and of the state after each block: " + ", ".join(f"{r:.3f}" for r in rms))
    meta = {
        "training": {
            "seconds": trained.seconds,
            "seed": seed,
            "steps": config.training.steps,
            "devices": trained.devices,
            "state_rms": rms,
            "config": config_hash(snakemake.params.forward),
        },
        "provenance": provenance(device, precision),
    }
    with atomic_path(snakemake.output.curve) as temporary:
        pd.DataFrame(trained.curve).to_csv(temporary, index=False)
    save_flow(snakemake.output.weights, trained.model, meta)
    resume.unlink(missing_ok=True)
