"""The nearest training image of each sample, to look for memorised images."""

import numpy as np
import torch


def nearest(images: np.ndarray, training: np.ndarray, batch_size: int = 250) -> tuple[np.ndarray, np.ndarray]:
    """Find each image's nearest training image by the RMS difference of grey levels.

    Args:
        images: uint8, (n, c, H, W).
        training: uint8, (N, c, H, W).

    Returns:
        Positions in `training`, int64 (n,), and RMS differences in grey levels, float (n,).
    """
    rows = torch.from_numpy(training).flatten(1).float()
    positions, distances = [], []
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(images[start : start + batch_size]).flatten(1).float()
        position = torch.cdist(batch, rows).argmin(dim=1)
        positions.append(position)
        # Computed again from the pair: the matrix form of cdist loses digits where images are nearly equal.
        distances.append((batch - rows[position]).square().mean(dim=1).sqrt())
    return torch.cat(positions).numpy(), torch.cat(distances).numpy()
