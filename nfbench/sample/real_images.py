"""Images in a sampler's place: real test images, as a perfect sampler would draw, and means of classes."""

import numpy as np

from nfbench.data.datasets import Dataset
from nfbench.data.noise import balanced_labels, latent_noise
from nfbench.data.pixels import to_float
from nfbench.errors import UserError
from nfbench.sample.sample_set import Draw

NO_COST = {"nfe": None, "token_steps": None, "iterations": None, "score_evaluations": None}


def real_images(data: Dataset, sigma: float, seed: int) -> Draw:
    """Return images with Gaussian noise of standard deviation `sigma` in units of [-1, 1]; 0 for none."""
    x = to_float(data.images)
    if sigma:
        noise = latent_noise(seed, range(len(data)), x.shape[1:], stream="floor-noise")
        x = x + sigma * noise.to(x.dtype)
    return Draw(x.numpy(), data.labels.astype(np.int64), dict(NO_COST))


def class_means(data: Dataset, n: int) -> Draw:
    """Return n images, each the mean of its class's images: the right classes without any variety.

    An anchor at the upper end of a distance's scale: what a sampler gets that answers with averages. One
    that has learned less than that may lie above it.

    Raises:
        UserError: a class has no images.
    """
    labels = balanced_labels(range(n), len(data.classes)).numpy()
    means = []
    for label, name in enumerate(data.classes):
        images = data.images[data.labels == label]
        if len(images) == 0:
            raise UserError(f"{data.name} has no image of class '{name}', so that it has no mean.")
        means.append(to_float(images).mean(dim=0).numpy())
    return Draw(np.stack(means)[labels], labels, dict(NO_COST))
