"""Measure how hard the flow's blocks are to invert, and choose GS-Jacobi's modules."""

import torch

from baselines.tarflow.checkpoint import load_flow
from baselines.tarflow.plan import choose_plan, difficulties, plan_record
from baselines.tarflow.training import add_noise
from nfbench.data.datasets import balanced_indices, load_section
from nfbench.files import write_json
from nfbench.measurements import row, write_rows
from nfbench.provenance import provenance
from nfbench.script import script

IMAGES = 500

with script(snakemake.log[0], snakemake.threads) as report:
    flow, seed = load_flow(snakemake.input.flow), int(snakemake.wildcards.seed)
    train = load_section(snakemake.params.data).train
    chosen = train.subset(balanced_indices(train.labels, min(IMAGES, len(train)), seed=0))
    generator = torch.Generator().manual_seed(seed)
    _, x = add_noise(torch.from_numpy(chosen.images), flow.spec.sigma, generator)
    measured = difficulties(flow, x)
    plan = choose_plan(measured, flow.spec.n_tokens, snakemake.params.modules)
    keys = {"sampler": snakemake.wildcards.flow, "seed": seed, "n": len(x)}
    total, rows = sum(block.hardness for block in measured), []
    for i, (block, choice) in enumerate(zip(measured, plan, strict=True)):
        hardness = 100 * block.hardness / total if total else None
        rows.append(row(f"block_crm_percent_{i}", block.crm_percent, **keys))
        rows.append(row(f"block_hardness_percent_{i}", hardness, **keys))
        report(f"block {i}: {block}, {choice}")
    made = provenance()
    write_json(snakemake.output.plan, plan_record(measured, plan) | {"images": len(x), "provenance": made})
    write_rows(snakemake.output.rows, rows, made)
