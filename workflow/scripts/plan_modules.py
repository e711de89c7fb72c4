"""Measure how hard the flow's blocks are to invert, and choose GS-Jacobi's modules."""

import torch

from baselines import load_flow
from baselines.tarflow.plan import choose_plan, difficulties, plan_record
from baselines.tarflow.training import add_noise
from nfbench.data.datasets import balanced_indices, load_section
from nfbench.files import write_json
from nfbench.job import job
from nfbench.provenance import provenance

IMAGES = 500

with job(snakemake.log[0], snakemake.threads) as report:
    flow, _ = load_flow(snakemake.input.flow)
    train = load_section(snakemake.params.data).train
    chosen = train.subset(balanced_indices(train.labels, min(IMAGES, len(train)), seed=0))
    generator = torch.Generator().manual_seed(int(snakemake.wildcards.seed))
    _, x = add_noise(torch.from_numpy(chosen.images), flow.spec.sigma, generator)
    measured = difficulties(flow, x)
    plan = choose_plan(measured, flow.spec.n_tokens, snakemake.params.modules)
    for index, (block, choice) in enumerate(zip(measured, plan, strict=True)):
        report(f"block {index}: {block}, {choice}")
    record = plan_record(measured, plan) | {"images": len(x), "provenance": provenance()}
    write_json(snakemake.output[0], record)
