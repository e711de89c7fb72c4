"""Find the largest tolerance whose samples differ from the exact inverse's by chance alone."""

import dataclasses

import torch

from baselines.make import make_sampler
from baselines.tarflow.checkpoint import load_flow
from nfbench.files import read_json, write_json
from nfbench.measure.quality.distances import frechet, statistics
from nfbench.measure.quality.features import extract
from nfbench.measure.quality.sample_quality import read_references
from nfbench.measure.tuning import tune
from nfbench.provenance import provenance
from nfbench.runtime import resolve_device
from nfbench.sample.sample_set import draw, to_sample_set
from nfbench.script import script

SPACE = "classifier"  # few features, so that few images give a covariance of full rank
FIRST_SEED = 2**32 - 1  # seeds of the noise go down from here, those of samples up from 0
EXACT = "sequential-static+denoise"

with script(snakemake.log[0], snakemake.threads) as report, torch.no_grad():
    given, about, tuning = snakemake.input, snakemake.params.row, snakemake.params.tuning
    device = resolve_device(snakemake.params.device)
    flow = load_flow(given.flow)
    reference = read_references([given.reference], given.classifier)[SPACE]
    drawn = {
        "n": tuning["n_samples"],
        "batch_size": snakemake.params.batch_size,
        "guidance": about["guidance"],
        "device": device,
    }

    def distances(name, **options):
        """Return the Frechet distance of denoised images at each seed of the noise."""
        sampler, found = make_sampler(name, flow, **options).to(device), []
        for seed in range(FIRST_SEED, FIRST_SEED - tuning["seeds"], -1):
            images = to_sample_set(draw(sampler, seed=seed, **drawn), {}).images
            features = extract(SPACE, images, classifier=given.classifier, device=device)
            found.append(frechet(statistics(features), reference.statistics))
        report(f"{name} {options.get('tolerance', '')}: " + ", ".join(f"{value:.4f}" for value in found))
        return found

    options = {key: value for key, value in about["options"].items() if key != "tolerance"}
    if given.plan:
        options.pop("modules", None)  # the plan has their number
        options["plan"] = read_json(given.plan)["plan"]
    denoised = f"{about['type']}+denoise"
    result = tune(
        tuning["tolerances"],
        distances(EXACT),
        lambda tolerance: distances(denoised, **options, tolerance=tolerance),
    )
    report(f"chosen: {result.tolerance}, since the interval is {result.half_width:.4g} on either side")
    setting = {"type": about["type"], "space": SPACE, "n": tuning["n_samples"]}
    write_json(snakemake.output[0], dataclasses.asdict(result) | setting | {"provenance": provenance(device)})
