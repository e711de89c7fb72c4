"""Compute the forward flow's likelihood of test images."""

import dataclasses

from baselines import load_flow
from baselines.tarflow.training import held_out_nll
from nfbench.config import DataConfig, build
from nfbench.data.datasets import load
from nfbench.device import resolve_device
from nfbench.files import finite_or_none, sha256_file, write_json
from nfbench.job import job
from nfbench.measure.likelihood import noise_floor
from nfbench.provenance import provenance

with job(snakemake.log[0], snakemake.threads) as report:
    device = resolve_device(snakemake.params.device)
    flow, meta = load_flow(snakemake.input.flow)
    test = load(**dataclasses.asdict(build(DataConfig, snakemake.params.data))).test
    nll = held_out_nll(flow.to(device), test)
    result = {
        "nll_nats_per_dim": finite_or_none(nll.mean().item()),
        "standard_error": finite_or_none((nll.std() / len(nll) ** 0.5).item()),
        "nll_limit": noise_floor(flow.spec.sigma),
        "sigma": flow.spec.sigma,
        "n": len(nll),
        "state_rms": meta["training"]["state_rms"],
        "train_seconds": meta["training"]["seconds"],
        "flow_sha256": sha256_file(snakemake.input.flow),
        "provenance": provenance(device),
    }
    report(f"{result['nll_nats_per_dim']} nats per dimension (limit {result['nll_limit']:.4f})")
    write_json(snakemake.output[0], result)
