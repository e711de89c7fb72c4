"""Train the forward flow."""

import pandas as pd
import torch

from baselines import TarFlow, save_flow
from baselines.tarflow.training import flow_spec, likelihood_loss, state_rms, validation_measure
from nfbench.config import ForwardConfig, build
from nfbench.data.datasets import load_section
from nfbench.files import atomic_path
from nfbench.job import job
from nfbench.provenance import config_hash, provenance
from nfbench.train.resumable import Place, training

with job(snakemake.log[0], snakemake.threads) as report:
    chosen, output = snakemake.params, snakemake.output
    config = build(ForwardConfig, chosen.forward)
    place = Place.chosen(chosen.device, chosen.precision, chosen.compile)
    seed = int(snakemake.wildcards.seed)
    splits = load_section(chosen.data)

    torch.manual_seed(seed)
    with training(
        TarFlow(flow_spec(config, splits)).to(place.device),
        likelihood_loss(config.label_drop),
        splits.train,
        config.training,
        place=place,
        seed=seed,
        output=output.weights,
        told_by={"data": chosen.data, "forward": chosen.forward},
        evaluate=validation_measure(splits.validation),
        report=report,
    ) as trained:
        rms = state_rms(trained.model, splits.validation)
        report("RMS of x_0 and of the state after each block: " + ", ".join(f"{r:.3f}" for r in rms))
        meta = {
            "training": {
                "seconds": trained.seconds,
                "seed": seed,
                "steps": config.training.steps,
                "devices": trained.devices,
                "state_rms": rms,
                "config": config_hash(chosen.forward),
            },
            "provenance": provenance(place.device, place.precision),
        }
        with atomic_path(output.curve) as temporary:
            pd.DataFrame(trained.curve).to_csv(temporary, index=False)
        save_flow(output.weights, trained.model, meta)
