"""Draw one sampler's sample set."""

import biflow  # noqa: F401, registers the learned reverses
from baselines import make_sampler
from nfbench.device import resolve_device
from nfbench.files import sha256_file
from nfbench.job import job
from nfbench.provenance import provenance
from nfbench.sample.contestant import contestant, options_in_effect
from nfbench.sample.sample_set import draw, to_sample_set, write_draw, write_sample_set
from nfbench.train.checkpoint import read_meta

with job(snakemake.log[0], snakemake.threads) as report:
    guidance = snakemake.params.guidance
    device = resolve_device(snakemake.params.device)
    seed = int(snakemake.wildcards.seed)
    options = options_in_effect(snakemake.params.options, snakemake.input.plan, snakemake.input.tuning)
    method = contestant(snakemake.wildcards.sampler).method
    sampler = make_sampler(method, snakemake.input.weights, **options).to(device)
    drawn = draw(
        sampler,
        seed=seed,
        n=snakemake.params.n_samples,
        batch_size=snakemake.params.batch_size,
        guidance=guidance,
        device=device,
        report=report,
    )
    model = read_meta(snakemake.input.weights)
    meta = {
        "sampler": snakemake.wildcards.sampler,
        "settings": sampler.settings,
        "seed": seed,
        "guidance": guidance,
        "parameters": sampler.n_parameters,
        "model_sha256": sha256_file(snakemake.input.weights),
        "training": model["training"],
        "model_provenance": model["provenance"],
        "provenance": provenance(device),
    }
    write_draw(snakemake.output.unclamped, drawn.images)
    write_sample_set(snakemake.output.samples, to_sample_set(drawn, meta))
