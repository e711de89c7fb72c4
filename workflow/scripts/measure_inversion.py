"""Compare a sampler with the exact inverse of the same noise, and send its images back through the flow."""

import math

import torch

import biflow  # noqa: F401, registers the learned reverses
from baselines import load_flow
from nfbench.data.noise import latent_noise
from nfbench.device import resolve_device
from nfbench.errors import UserError
from nfbench.files import write_json
from nfbench.job import job
from nfbench.measure.intervals import bootstrap_mean
from nfbench.measure.inversion import VISIBLE_LEVELS, finite_mean, mse_per_image, visibly_off
from nfbench.provenance import provenance
from nfbench.sample.contestant import contestant
from nfbench.sample.sample_set import batches, read_draw, read_sample_set
from nfbench.sample.sampler import entry
from nfbench.student import as_json

BATCH_SIZE = 500


@torch.no_grad()
def residual(flow, images, labels, seed, device):
    """Return the RMS per dimension of F(x) - z over all images; None where one is not finite."""
    errors = []
    shape = (flow.spec.n_tokens, flow.spec.token_dim)
    for indices in batches(len(images), BATCH_SIZE):
        chosen = slice(indices.start, indices.stop)
        z = flow.encode(images[chosen].to(device), labels[chosen].to(device)).z / flow.var.sqrt()
        errors.append(mse_per_image(z.cpu(), latent_noise(seed, indices, shape)))
    error = mean_or_none(torch.cat(errors))
    return None if error is None else math.sqrt(error)


def mean_or_none(per_image):
    """Return the mean over all images; None, rather than the others' mean, where one is not finite."""
    mean, non_finite = finite_mean(per_image)
    return None if non_finite else mean


with job(snakemake.log[0], snakemake.threads) as report:
    device = resolve_device(snakemake.params.device)
    name, seed = snakemake.wildcards.sampler, int(snakemake.wildcards.seed)
    flow, _ = load_flow(snakemake.input.flow)
    images = torch.from_numpy(read_draw(snakemake.input.unclamped))
    truth = torch.from_numpy(read_draw(snakemake.input.truth))
    samples = read_sample_set(snakemake.input.samples)
    labels = torch.from_numpy(samples.labels)
    if images.shape != truth.shape:
        raise UserError(
            f"{snakemake.input.unclamped} and {snakemake.input.truth} differ in number or size of images;"
            " delete both and run snakemake again."
        )
    itself = snakemake.input.unclamped == snakemake.input.truth
    # A guided sample is no preimage of its noise, and a denoised one is not meant to be.
    goes_back = entry(contestant(name).sampler).output == "noisy" and not samples.meta["guidance"]
    errors = None if itself else mse_per_image(images, truth)
    measurable = not itself and bool(errors.isfinite().all())
    result = {
        "sampler": name,
        "seed": seed,
        "n": len(images),
        "truth": snakemake.input.truth,
        "inversion_mse": None if itself else mean_or_none(errors),
        "inversion_mse_over_samples": as_json(bootstrap_mean(errors.numpy()) if measurable else None),
        "visible_share": None if itself else visibly_off(images, truth).double().mean().item(),
        "visible_levels": VISIBLE_LEVELS,
        "residual": residual(flow.to(device), images, labels, seed, device) if goes_back else None,
        "provenance": provenance(device),
    }
    report(
        f"inversion MSE {result['inversion_mse']}, residual {result['residual']},"
        f" share visibly off {result['visible_share']}"
    )
    write_json(snakemake.output[0], result)
