"""Real images in a sampler's place: the score that a perfect sampler would get."""

import numpy as np

from nfbench.data.datasets import Dataset
from nfbench.data.noise import latent_noise
from nfbench.data.pixels import to_float
from nfbench.sample.sample_set import Draw


def real_images(data: Dataset, sigma: float, seed: int) -> Draw:
    """Return images with Gaussian noise of standard deviation `sigma` in units of [-1, 1]; 0 for none."""
    x = to_float(data.images)
    if sigma:
        noise = latent_noise(seed, range(len(data)), x.shape[1:], stream="floor-noise")
        x = x + sigma * noise.to(x.dtype)
    cost = {"nfe": None, "token_steps": None, "sweeps": None, "score_evaluations": None}
    return Draw(x.numpy(), data.labels.astype(np.int64), cost)
