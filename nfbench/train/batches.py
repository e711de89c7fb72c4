"""Batches that depend on (seed, step) alone, so that an interrupted training resumes exactly."""

import numpy as np
import torch
from torch import Tensor

from nfbench.data.datasets import Dataset
from nfbench.errors import UserError


class ResidentBatches:
    """A data set held whole on the device, shuffled anew every epoch; the last short batch is dropped."""

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, device: torch.device):
        if batch_size > len(dataset):
            raise UserError(
                f"batch_size {batch_size} exceeds the {len(dataset)} training images; set a smaller one."
            )
        self.images = torch.from_numpy(dataset.images).to(device)
        self.labels = torch.from_numpy(dataset.labels).to(device)
        self.batch_size, self.seed = batch_size, seed
        self.per_epoch = len(dataset) // batch_size
        self._epoch, self._order = -1, torch.empty(0)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the uint8 images (B, c, H, W) and labels (B,) of a step."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.images))
            self._epoch, self._order = epoch, torch.from_numpy(order).to(self.images.device)
        chosen = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        return self.images[chosen], self.labels[chosen]
