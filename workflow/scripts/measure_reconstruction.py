"""Send held-out images through the flow and back through a learned reverse."""

from collections import defaultdict

import torch

from baselines.tarflow.checkpoint import load_flow
from biflow.recipes import RECIPES
from biflow.reconstruction import reconstruct, reconstruction_errors
from biflow.training import held_out_path
from nfbench.data.datasets import load_section
from nfbench.measure.quality.sample_quality import read_references, reconstruction_rows
from nfbench.measurements import row, write_rows
from nfbench.provenance import provenance
from nfbench.runtime import resolve_device
from nfbench.sample.sample_set import Draw, batches, to_sample_set
from nfbench.script import script
from nfbench.train.checkpoint import read_meta

BATCH_SIZE = 100
SCORED = {"reconstruction": "reconstruction", "denoised": "denoised_reconstruction"}

with script(snakemake.log[0], snakemake.threads) as report, torch.no_grad():
    given, params = snakemake.input, snakemake.params
    device = resolve_device(params.device)
    flow = load_flow(given.flow).to(device)
    reverse = RECIPES[params.objective].load(given.model).to(device)
    test = load_section(params.data).test
    totals, images = defaultdict(float), defaultdict(list)
    for indices in batches(len(test), BATCH_SIZE):
        path, y = held_out_path(flow, test, indices)
        found = reconstruct(reverse, flow, path, y)
        for name, errors in reconstruction_errors(found, flow, path).items():
            totals[name] += errors.sum().item()
        for name, batch in found.items():
            images[name].append(batch.cpu())
    rows = [row(name, total / len(test), n=len(test)) for name, total in totals.items()]

    n = min(params.n_samples, len(test))  # as many as samples: distances depend on the number
    about = {"feature_spaces_in_loss": read_meta(given.model)["training"].get("feature_spaces_in_loss", [])}
    references = read_references(given.references, given.classifier)
    for name, parts in images.items():
        samples = to_sample_set(Draw(torch.cat(parts)[:n].numpy(), test.labels[:n], {}), about)
        rows += reconstruction_rows(samples, references, given.classifier, kind=SCORED[name], device=device)
    keys = {"sampler": snakemake.wildcards.model, "seed": int(snakemake.wildcards.seed)}
    write_rows(snakemake.output.rows, [keys | each for each in rows], provenance(device))
    report(", ".join(f"{each['metric']} {each.get('space', '')} {each['value']}" for each in rows))
