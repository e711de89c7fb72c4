"""Inpaint held-out images and change their class, with the exact inverse and every learned reverse."""

from baselines.make import make_sampler
from baselines.tarflow.checkpoint import load_flow
from biflow.held_out_edits import (
    MASKS,
    choose,
    held_out_edits,
    measure_class_editing,
    measure_inpainting,
    references,
)
from nfbench.data.datasets import load_section
from nfbench.measure.editing import editing_rows
from nfbench.measure.quality.classifier import load_classifier
from nfbench.measurements import write_rows
from nfbench.provenance import provenance
from nfbench.registry import OBJECTIVES
from nfbench.runtime import resolve_device
from nfbench.script import script

EXACT = "sequential-static+denoise"  # what the learned reverses are compared with

with script(snakemake.log[0], snakemake.threads) as report:
    given, params = snakemake.input, snakemake.params
    device, seed = resolve_device(params.device), int(snakemake.wildcards.seed)
    flow = load_flow(given.flow).to(device)
    classifier = load_classifier(given.classifier, device)
    test = load_section(params.data).test
    chosen = choose(test, params.editing["n_images"])
    edits = held_out_edits(test, chosen, flow.spec, seed)
    samplers = {EXACT: make_sampler(EXACT, flow)}
    for name, objective, path in zip(params.names, params.objectives, given.reverses, strict=True):
        samplers[name] = make_sampler(OBJECTIVES[objective], path).to(device)
    anchors = references(edits, flow, classifier)
    rows = []
    for name, sampler in samplers.items():
        keys = {"sampler": name, "seed": seed, "n": len(chosen)}
        for mask in MASKS:
            scores = measure_inpainting(edits, mask, flow, sampler, classifier) | anchors[mask]
            rows += editing_rows(scores, task=f"inpainting {mask}", **keys)
        if flow.spec.n_classes is not None:
            scores = measure_class_editing(edits, flow, sampler, classifier) | anchors[None]
            rows += editing_rows(scores, task="class-editing", **keys)
        report(f"{name}: measured with {len(chosen)} images")
    write_rows(snakemake.output.rows, rows, provenance(device))
