"""Compute the forward flow's likelihood of test images, with several draws of the noise on them."""

import torch

from baselines.tarflow.checkpoint import load_flow
from baselines.tarflow.training import held_out_bits, held_out_nll
from nfbench.data.datasets import load_section
from nfbench.measure.likelihood import likelihood_rows
from nfbench.measurements import write_rows
from nfbench.provenance import provenance
from nfbench.runtime import resolve_device
from nfbench.script import script

with script(snakemake.log[0], snakemake.threads) as report:
    device = resolve_device(snakemake.params.device)
    flow = load_flow(snakemake.input.flow).to(device)
    test, draws = load_section(snakemake.params.data).test, range(snakemake.params.draws)
    nll = torch.stack([held_out_nll(flow, test, seed=draw) for draw in draws])
    report(f"{len(draws)} draws of the training noise: {nll.mean(dim=1).tolist()} nats per dimension")
    bits = torch.stack([held_out_bits(flow, test, seed=draw) for draw in draws])
    report(f"{len(draws)} draws of uniform dequantisation: {bits.mean(dim=1).tolist()} bits per dimension")
    keys = {"sampler": snakemake.wildcards.flow, "seed": int(snakemake.wildcards.seed)}
    rows = [keys | row for row in likelihood_rows(nll, bits, flow.spec.sigma)]
    write_rows(snakemake.output.rows, rows, provenance(device))
