"""Send held-out images through the flow and back through a learned reverse."""

import dataclasses

import torch

from baselines import load_flow
from biflow import load_reverse
from biflow.training import held_out_path
from nfbench.config import DataConfig, build
from nfbench.data.datasets import load
from nfbench.device import resolve_device
from nfbench.files import finite_or_none, sha256_file, write_json
from nfbench.job import job
from nfbench.provenance import provenance
from nfbench.sample.sample_set import batches

BATCH_SIZE = 500

with job(snakemake.log[0], snakemake.threads) as report, torch.no_grad():
    device = resolve_device(snakemake.params.device)
    flow = load_flow(snakemake.input.flow)[0].to(device)
    reverse = load_reverse(snakemake.input.model)[0].to(device)
    test = load(**dataclasses.asdict(build(DataConfig, snakemake.params.data))).test
    total = 0.0
    for indices in batches(len(test), BATCH_SIZE):
        path, y = held_out_path(flow, test, indices)
        total += (reverse(path.z, y) - path.clean).square().mean(dim=(1, 2)).sum().item()
    result = {
        "method": snakemake.wildcards.method,
        "seed": int(snakemake.wildcards.seed),
        "reconstruction_mse": finite_or_none(total / len(test)),
        "n": len(test),
        "reverse_sha256": sha256_file(snakemake.input.model),
        "provenance": provenance(device),
    }
    report(f"reconstruction MSE {result['reconstruction_mse']}")
    write_json(snakemake.output[0], result)
