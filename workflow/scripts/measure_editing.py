"""Inpaint held-out images and change their class, with the exact inverse and every learned reverse."""

import biflow  # noqa: F401, registers the learned reverses
from baselines import load_flow, make_sampler
from biflow.held_out_edits import (
    MASKS,
    SHIFTS,
    choose,
    held_out_edits,
    measure_class_editing,
    measure_inpainting,
    references,
)
from nfbench.config import EditingConfig, build
from nfbench.data.datasets import load_section
from nfbench.device import resolve_device
from nfbench.files import sha256_file, write_json
from nfbench.job import job
from nfbench.measure.classifier import load_classifier
from nfbench.provenance import provenance

with job(snakemake.log[0], snakemake.threads) as report:
    given, params = snakemake.input, snakemake.params
    device = resolve_device(params.device)
    seed = int(snakemake.wildcards.seed)
    flow = load_flow(given.flow)[0].to(device)
    classifier = load_classifier(given.classifier, device)
    test = load_section(params.data).test
    chosen = choose(test, build(EditingConfig, params.editing).n_images)
    edits = held_out_edits(test, chosen, flow.spec, seed)
    samplers = {params.exact: make_sampler(params.exact, flow)}
    learned = dict(zip(params.methods, given.reverses, strict=True))
    samplers |= {name: make_sampler(name, path).to(device) for name, path in learned.items()}
    beside = references(edits, flow, classifier)
    rows = []
    for name, sampler in samplers.items():
        found = [measure_inpainting(edits, mask, flow, sampler, classifier) for mask in MASKS]
        if flow.spec.n_classes is not None:
            found.append(measure_class_editing(edits, flow, sampler, classifier))
        for row in found:
            rows.append({"sampler": name, "seed": seed, "n": len(chosen)} | row | beside[row["mask"]])
            report(f"{name}: {rows[-1]}")
    result = {
        "rows": rows,
        "images": {"data": test.name, "n": len(chosen), "sha256": test.subset(chosen).sha256},
        "classes_shown_as": SHIFTS,
        "flow_sha256": sha256_file(given.flow),
        "reverse_sha256": {name: sha256_file(path) for name, path in learned.items()},
        "classifier_sha256": sha256_file(given.classifier),
        "provenance": provenance(device),
    }
    write_json(snakemake.output[0], result)
