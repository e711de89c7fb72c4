"""Show test images as every class, with the exact inverse and the learned reverses."""

import numpy as np

import biflow  # noqa: F401, registers the learned reverses
from baselines import load_flow, make_sampler
from biflow.held_out_edits import edited, held_out_edits
from nfbench.data.datasets import balanced_indices, load_section
from nfbench.data.pixels import to_shown
from nfbench.job import job
from nfbench.report import editing_figures, style

IMAGES = 5

with job(snakemake.log[0], snakemake.threads) as report:
    given, params = snakemake.input, snakemake.params
    flow, _ = load_flow(given.flow)
    samplers = {params.exact: make_sampler(params.exact, flow)}
    samplers |= {
        name: make_sampler(name, path) for name, path in zip(params.methods, given.reverses, strict=True)
    }
    test = load_section(params.data).test
    classes = test.classes
    shown = balanced_indices(test.labels, max(IMAGES, len(classes)), seed=1)[:IMAGES]
    edits = held_out_edits(test, shown, flow.spec, int(params.seed))
    results = {
        name: np.stack([to_shown(edited(edits, flow, sampler, to)) for to in range(len(classes))], axis=1)
        for name, sampler in samplers.items()
    }
    figure = editing_figures.class_editing(to_shown(edits.images), edits.labels.tolist(), results, classes)
    style.save(figure, snakemake.output.png, snakemake.output.pdf)
