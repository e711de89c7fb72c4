"""Compute the forward flow's likelihood of test images."""

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
    test = load_section(snakemake.params.data).test
    nll = held_out_nll(flow, test)
    bits = held_out_bits(flow, test) if snakemake.params.bits_per_dim else None
    keys = {"sampler": snakemake.wildcards.flow, "seed": int(snakemake.wildcards.seed)}
    rows = [keys | row for row in likelihood_rows(nll, bits, flow.spec.sigma)]
    report(", ".join(f"{row['metric']} {row['value']}" for row in rows))
    write_rows(snakemake.output.rows, rows, provenance(device))
