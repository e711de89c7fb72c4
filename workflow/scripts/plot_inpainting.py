"""Show test images with a part hidden, and what the exact inverse and the learned reverses put there."""

import biflow  # noqa: F401, registers the learned reverses
from baselines import load_flow, make_sampler
from biflow.editing import paste
from biflow.held_out_edits import MASKS, held_out_edits, inpainted
from nfbench.data.datasets import balanced_indices, load_section
from nfbench.data.pixels import to_shown
from nfbench.job import job
from nfbench.report import editing_figures, style

IMAGES = 3  # a mask

with job(snakemake.log[0], snakemake.threads) as report:
    given, params = snakemake.input, snakemake.params
    flow, _ = load_flow(given.flow)
    samplers = {params.exact: make_sampler(params.exact, flow)}
    samplers |= {
        name: make_sampler(name, path) for name, path in zip(params.methods, given.reverses, strict=True)
    }
    test = load_section(params.data).test
    n = len(MASKS) * IMAGES
    shown = balanced_indices(test.labels, max(n, len(test.classes)), seed=1)[:n]
    panels = []
    for mask, indices in zip(MASKS, shown.reshape(len(MASKS), IMAGES), strict=True):
        edits = held_out_edits(test, indices, flow.spec, int(params.seed))
        hidden = edits.mask(mask, flow.spec.patch_size)
        rows = []
        for name, sampler in samplers.items():
            raw = inpainted(edits, mask, flow, sampler)
            rows.append((name, to_shown(raw)))
            rows.append(("pasted", to_shown(paste(edits.images, raw, hidden))))
        title = f"hidden: {mask.replace('-', ' ')}"
        panels.append(editing_figures.Panel(title, to_shown(edits.images), hidden.numpy(), rows))
    style.save(editing_figures.inpainting(panels), snakemake.output.png, snakemake.output.pdf)
