"""Find the largest threshold whose samples cannot be told from the exact inverse's, on noise of its own."""

import dataclasses

import torch

from baselines import load_flow, make_sampler
from nfbench.config import TuningConfig, build
from nfbench.device import resolve_device
from nfbench.files import write_json
from nfbench.job import job
from nfbench.measure.features import extract, weights_sha256
from nfbench.measure.quality import frechet, read_reference, statistics
from nfbench.measure.tuning import tune
from nfbench.provenance import provenance
from nfbench.sample.contestant import options_in_effect
from nfbench.sample.sample_set import draw, to_sample_set

SPACE = "classifier"  # few features, so that few images give a distance of full rank
FIRST_SEED = 2**32 - 1  # validation noise: seeds from the top down, samples take theirs from the bottom up


with job(snakemake.log[0], snakemake.threads) as report, torch.no_grad():
    config = build(TuningConfig, snakemake.params.tuning)
    device = resolve_device(snakemake.params.device)
    flow, _ = load_flow(snakemake.input.flow)
    classifier = snakemake.input.classifier
    reference = read_reference(
        snakemake.input.reference, expect_weights_sha256=weights_sha256(SPACE, classifier)
    )

    def distance(sampler, seed):
        """Return the Frechet distance of the sampler's denoised images at one validation seed."""
        drawn = draw(
            sampler,
            seed=seed,
            n=config.n_samples,
            batch_size=snakemake.params.batch_size,
            guidance=snakemake.params.guidance,
            device=device,
        )
        images = to_sample_set(drawn, {}).images
        features = extract(SPACE, images, classifier=classifier, device=device, report=lambda line: None)
        return frechet(statistics(features), reference.statistics)

    def distances(name, **options):
        sampler = make_sampler(f"{name}+denoise", flow, **options).to(device)
        found = [distance(sampler, FIRST_SEED - i) for i in range(config.seeds)]
        report(f"{name} {options.get('tau', '')}: " + ", ".join(f"{value:.4f}" for value in found))
        return found

    method = snakemake.wildcards.method
    options = options_in_effect(snakemake.params.options, snakemake.input.plan)
    exact = distances("sequential-static")
    result = tune(config.taus, exact, lambda tau: distances(method, **options | {"tau": tau}))
    report(f"chosen: {result.tau}, since the interval is {result.half_width:.4g} on either side")
    write_json(
        snakemake.output[0],
        dataclasses.asdict(result)
        | {"method": method, "space": SPACE, "n": config.n_samples, "provenance": provenance(device)},
    )
