"""Send held-out images through the flow and back through a learned reverse."""

from collections import Counter

import torch

from baselines import load_flow
from biflow.recipes import RECIPES
from biflow.reconstruction import reconstruction_errors
from biflow.training import held_out_path
from nfbench.data.datasets import load_section
from nfbench.device import resolve_device
from nfbench.files import finite_or_none, sha256_file, write_json
from nfbench.job import job
from nfbench.provenance import provenance
from nfbench.sample.sample_set import batches

BATCH_SIZE = 500

with job(snakemake.log[0], snakemake.threads) as report, torch.no_grad():
    device = resolve_device(snakemake.params.device)
    flow = load_flow(snakemake.input.flow)[0].to(device)
    reverse = RECIPES[snakemake.wildcards.method].load(snakemake.input.model)[0].to(device)
    test = load_section(snakemake.params.data).test
    totals = Counter()
    for indices in batches(len(test), BATCH_SIZE):
        path, y = held_out_path(flow, test, indices)
        for name, errors in reconstruction_errors(reverse, flow, path, y).items():
            totals[name] += errors.sum().item()
    result = {
        "method": snakemake.wildcards.method,
        "seed": int(snakemake.wildcards.seed),
        **{name: finite_or_none(total / len(test)) for name, total in totals.items()},
        "n": len(test),
        "reverse_sha256": sha256_file(snakemake.input.model),
        "provenance": provenance(device),
    }
    report(f"reconstruction MSE {result['reconstruction_mse']}")
    write_json(snakemake.output[0], result)
