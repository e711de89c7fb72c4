"""Compare one sample set with the real images, and its images with the exact inverse of the same noise."""

import torch

from baselines.tarflow.checkpoint import load_flow
from nfbench.errors import UserError
from nfbench.measure.inversion import inversion_rows, residual_row
from nfbench.measure.quality.sample_quality import draw_rows, quality_rows, read_references
from nfbench.measurements import write_rows
from nfbench.provenance import provenance
from nfbench.runtime import resolve_device
from nfbench.sample.sample_set import read_draw, read_sample_set
from nfbench.script import script

with script(snakemake.log[0], snakemake.threads) as report:
    given, about = snakemake.input, snakemake.params.row
    quality, device = snakemake.params.quality, resolve_device(snakemake.params.device)
    seed = int(snakemake.wildcards.seed)
    samples, images = read_sample_set(given.samples), torch.from_numpy(read_draw(given.unclamped))
    references = read_references(given.references, given.classifier)
    options = {"kid_subsets": quality["kid_subsets"], "n_splits": quality["n_splits"]}
    rows = draw_rows(samples, references)
    rows += quality_rows(samples, references, given.classifier, **options, device=device, report=report)
    if given.truth and given.truth != given.unclamped:
        truth = torch.from_numpy(read_draw(given.truth))
        if images.shape != truth.shape:
            raise UserError(
                f"{given.unclamped} and {given.truth} differ in number or size of images; delete both and run"
                " snakemake again."
            )
        rows += inversion_rows(images, truth)
    # A guided or denoised sample is not meant to be a preimage of its noise.
    if given.flow and about["output"] == "noisy" and not about["guidance"]:
        flow = load_flow(given.flow, None if about["learned"] else about["step"]).to(device)
        rows.append(residual_row(flow, images, torch.from_numpy(samples.labels), seed))
    keys = {"sampler": about["name"], "seed": seed, "guidance": about["guidance"], "step": about["step"]}
    write_rows(snakemake.output.rows, [keys | row for row in rows], provenance(device))
    report(", ".join(f"{row['metric']} {row.get('space', '')} {row['value']}" for row in rows))
