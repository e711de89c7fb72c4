"""Send held-out images through the flow and back through a learned reverse."""

from collections import Counter

import numpy as np
import torch

from baselines import load_flow
from biflow.recipes import RECIPES
from biflow.reconstruction import reconstruct, reconstruction_errors
from biflow.training import held_out_path
from nfbench.data.datasets import load_section
from nfbench.device import resolve_device
from nfbench.files import finite_or_none, sha256_file, write_json
from nfbench.job import job
from nfbench.measure.scores import read_references, scores
from nfbench.provenance import provenance
from nfbench.sample.sample_set import Draw, batches, to_sample_set

BATCH_SIZE = 500

with job(snakemake.log[0], snakemake.threads) as report, torch.no_grad():
    chosen, classifier = snakemake.params, snakemake.input.classifier
    device = resolve_device(chosen.device)
    references = read_references(snakemake.input.references, classifier)
    flow = load_flow(snakemake.input.flow)[0].to(device)
    reverse = RECIPES[snakemake.wildcards.method].load(snakemake.input.model)[0].to(device)
    test = load_section(chosen.data).test
    totals, images = Counter(), {}
    for indices in batches(len(test), BATCH_SIZE):
        path, y = held_out_path(flow, test, indices)
        back = reconstruct(reverse, flow, path, y)
        for name, errors in reconstruction_errors(back, flow, path).items():
            totals[name] += errors.sum().item()
        for name, batch in back.items():
            images.setdefault(name, []).append(batch.cpu().numpy())
    # As many as there are samples, since distances depend on the number.
    n = min(chosen.n_samples, len(test))
    sets = {
        name: to_sample_set(Draw(np.concatenate(parts)[:n], test.labels[:n], {}), {})
        for name, parts in images.items()
    }
    result = {
        "method": snakemake.wildcards.method,
        "seed": int(snakemake.wildcards.seed),
        **{name: finite_or_none(total / len(test)) for name, total in totals.items()},
        "n": len(test),
        "scores": {name: scores(kept, references, classifier, device) for name, kept in sets.items()},
        "n_scored": n,
        "reverse_sha256": sha256_file(snakemake.input.model),
        "provenance": provenance(device),
    }
    report(f"reconstruction MSE {result['reconstruction_mse']}; {result['scores']}")
    write_json(snakemake.output[0], result)
