"""Compute the forward flow's likelihood of test images, with several draws of the noise on them."""

import torch

from baselines import load_flow
from baselines.tarflow.training import held_out_bits, held_out_nll
from nfbench.data.datasets import load_section
from nfbench.device import resolve_device
from nfbench.files import finite_or_none, sha256_file, write_json
from nfbench.job import job
from nfbench.measure.likelihood import bits_limit, noise_floor, over_draws
from nfbench.provenance import provenance

with job(snakemake.log[0], snakemake.threads) as report:
    device = resolve_device(snakemake.params.device)
    flow, meta = load_flow(snakemake.input.flow)
    flow, seeds = flow.to(device), range(snakemake.params.draws)
    test = load_section(snakemake.params.data).test
    nll = torch.stack([held_out_nll(flow, test, seed=seed) for seed in seeds])
    report(f"{len(seeds)} draws of the training noise: {nll.mean(dim=1).tolist()} nats per dimension")
    bits = torch.stack([held_out_bits(flow, test, seed=seed) for seed in seeds])
    report(f"{len(seeds)} draws of uniform dequantisation: {bits.mean(dim=1).tolist()} bits per dimension")
    result = {
        # Of the first draw alone, as the training curves give it.
        "nll_nats_per_dim": finite_or_none(nll[0].mean().item()),
        "standard_error": finite_or_none((nll[0].std() / nll.shape[1] ** 0.5).item()),
        "nll_over_draws": over_draws(nll),
        "nll_limit": noise_floor(flow.spec.sigma),
        "bits_per_dim_over_draws": over_draws(bits),
        "bits_limit": bits_limit(flow.spec.sigma),
        "sigma": flow.spec.sigma,
        "n": nll.shape[1],
        "state_rms": meta["training"]["state_rms"],
        "train_seconds": meta["training"]["seconds"],
        "flow_sha256": sha256_file(snakemake.input.flow),
        "provenance": provenance(device),
    }
    report(f"{result['nll_nats_per_dim']} nats per dimension (limit {result['nll_limit']:.4f})")
    write_json(snakemake.output[0], result)
