"""Put real test images in a sampler's place, as they are and with the flow's own noise."""

import dataclasses

from nfbench.config import DataConfig, build
from nfbench.data.datasets import balanced_indices, load
from nfbench.job import job
from nfbench.provenance import provenance
from nfbench.sample.floors import real_images
from nfbench.sample.sample_set import to_sample_set, write_sample_set

with job(snakemake.log[0], snakemake.threads) as report:
    seed = int(snakemake.wildcards.seed)
    test = load(**dataclasses.asdict(build(DataConfig, snakemake.params.data))).test
    chosen = test.subset(balanced_indices(test.labels, snakemake.params.n_samples, seed))
    for name, sigma, path in (
        ("floor", 0.0, snakemake.output.clean),
        ("floor-noisy", snakemake.params.sigma, snakemake.output.noisy),
    ):
        meta = {
            "sampler": name,
            "seed": seed,
            "sigma": sigma,
            "data_sha256": chosen.sha256,
            "provenance": provenance(),
        }
        write_sample_set(path, to_sample_set(real_images(chosen, sigma, seed), meta))
    report(f"{len(chosen)} test images, without noise and with {snakemake.params.sigma}")
