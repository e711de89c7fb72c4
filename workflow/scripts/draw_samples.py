"""Draw one row's sample set, or take real images in its place."""

from baselines.make import make_sampler, model_at
from nfbench.data.datasets import balanced_indices, load_section
from nfbench.files import sha256_file
from nfbench.provenance import provenance
from nfbench.runtime import resolve_device
from nfbench.sample.real_images import class_means, real_images
from nfbench.sample.sample_set import draw, to_sample_set, write_draw, write_sample_set
from nfbench.sample.sampler import options_in_effect
from nfbench.script import script
from nfbench.train.checkpoint import read_meta


def network_samples(row, params, given, seed, report):
    """Draw with a network; return the draw and what is known of it."""
    device = resolve_device(params.device)
    options = options_in_effect(row, given.plan, given.tolerance)
    name = row["type"] + ("+denoise" if row["denoise"] else "")
    model = model_at(row["type"], given.model, row["step"])
    sampler = make_sampler(name, model, flow=given.flow or None, **options).to(device)
    sizes = {"n": params.n_samples, "batch_size": params.batch_size}
    drawn = draw(sampler, seed=seed, **sizes, guidance=row["guidance"], device=device, report=report)
    made = read_meta(given.model)
    return drawn, {
        "settings": sampler.settings,
        "parameters": sampler.n_parameters,
        "model_sha256": sha256_file(given.model),
        "feature_spaces_in_loss": made["training"].get("feature_spaces_in_loss", []),
        "model_provenance": made["provenance"],
        "provenance": provenance(device),
    }


def data_samples(row, params, seed):
    """Take real images, or means of classes; return them as a draw, and what is known of it."""
    splits = load_section(params.data)
    if row["type"] == "class-means":
        source, drawn = splits.train, class_means(splits.train, params.n_samples)
    else:
        source = splits.test.subset(balanced_indices(splits.test.labels, params.n_samples, seed))
        drawn = real_images(source, params.sigma or 0.0, seed)
    about = {"settings": {}, "parameters": None, "feature_spaces_in_loss": [], "data_sha256": source.sha256}
    return drawn, about | {"provenance": provenance()}


with script(snakemake.log[0], snakemake.threads) as report:
    params, given, row = snakemake.params, snakemake.input, snakemake.params.row
    seed = int(snakemake.wildcards.seed)
    if given.model:
        drawn, about = network_samples(row, params, given, seed, report)
    else:
        drawn, about = data_samples(row, params, seed)
    meta = {"sampler": row["name"], "seed": seed, "guidance": row["guidance"], **about}
    write_draw(snakemake.output.unclamped, drawn.images)
    write_sample_set(snakemake.output.samples, to_sample_set(drawn, meta))
    report(f"{len(drawn.images)} images of {row['name']}")
