"""Put test images in a sampler's place, as they are and with the flow's own noise, and means of classes."""

from nfbench.data.datasets import balanced_indices, load_section
from nfbench.job import job
from nfbench.provenance import provenance
from nfbench.sample.floors import class_means, real_images
from nfbench.sample.sample_set import to_sample_set, write_sample_set

with job(snakemake.log[0], snakemake.threads) as report:
    seed, n, sigma = int(snakemake.wildcards.seed), snakemake.params.n_samples, snakemake.params.sigma
    splits = load_section(snakemake.params.data)
    real = splits.test.subset(balanced_indices(splits.test.labels, n, seed))
    out, facts = snakemake.output, {"seed": seed, "provenance": provenance()}
    for name, path, drawn, source, extra in (
        ("floor", out.clean, real_images(real, 0.0, seed), real, {"sigma": 0.0}),
        ("floor-noisy", out.noisy, real_images(real, sigma, seed), real, {"sigma": sigma}),
        ("class-means", out.anchor, class_means(splits.train, n), splits.train, {}),
    ):
        meta = {"sampler": name, "data_sha256": source.sha256, **extra, **facts}
        write_sample_set(path, to_sample_set(drawn, meta))
    report(f"{n} test images, without noise and with {sigma}, and as many means of classes")
