"""Denoise noisy samples with the score of the flow."""

import time

import numpy as np
import torch

import biflow  # noqa: F401, registers the learned reverses
from baselines import load_flow
from baselines.tarflow.denoise import denoise
from nfbench.device import resolve_device
from nfbench.job import job, progress
from nfbench.provenance import provenance
from nfbench.sample.contestant import contestant
from nfbench.sample.sample_set import (
    Draw,
    batches,
    read_draw,
    read_sample_set,
    to_sample_set,
    write_draw,
    write_sample_set,
)
from nfbench.sample.sampler import entry

with job(snakemake.log[0], snakemake.threads) as report:
    device = resolve_device(snakemake.params.device)
    flow, _ = load_flow(snakemake.input.flow)
    flow.to(device)
    noisy, samples = read_draw(snakemake.input.unclamped), read_sample_set(snakemake.input.samples)
    clean, started = [], time.monotonic()
    for indices in batches(len(noisy), snakemake.params.batch_size):
        chosen = slice(indices.start, indices.stop)
        x = torch.from_numpy(noisy[chosen]).to(device)
        y = torch.from_numpy(samples.labels[chosen]).to(device)
        clean.append(denoise(flow, x, y).cpu().numpy())
        report(progress(indices.stop, len(noisy), started))
    cost = samples.meta["cost"] | {"score_evaluations": samples.meta["cost"]["score_evaluations"] + 1}
    drawn = Draw(np.concatenate(clean), samples.labels, cost)
    # An inverse has evaluated the flow itself; the network of a learned reverse comes beside it.
    learned = entry(contestant(snakemake.wildcards.sampler).method).learned
    parameters = samples.meta["parameters"] + (sum(p.numel() for p in flow.parameters()) if learned else 0)
    meta = samples.meta | {
        "parameters": parameters,
        "sampler": f"{samples.meta['sampler']}+denoise",
        "provenance": provenance(device),
    }
    write_draw(snakemake.output.unclamped, drawn.images)
    write_sample_set(snakemake.output.samples, to_sample_set(drawn, meta))
