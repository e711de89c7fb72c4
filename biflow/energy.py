"""Energy distance between samples from the prior and the data, an optional term of the loss.

The other terms train on the flow's encodings of images, which are only approximately normal. For noise from
the prior no target image is known, so this term compares distributions. It is not part of BiFlow.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from biflow.feature_distance import FeatureDistance
from biflow.model import ReverseModel

LABEL_DISTANCE = 0.3  # of points that differ in the label only; features differ by at most 2


def energy_distance(a: Tensor, b: Tensor) -> Tensor:
    """Estimate the energy distance of the distributions that two sets of points are drawn from.

    2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely and Rizzo, 2013, doi:10.1016/j.jspi.2013.03.018). The
    estimate is unbiased, since pairs of a point with itself are left out, and may be negative.

    Args:
        a: points (N, F), N at least 2.
        b: points (M, F), M at least 2.
    """

    def within(points: Tensor) -> Tensor:
        return torch.cdist(points, points).sum() / (len(points) * (len(points) - 1))

    return 2 * torch.cdist(a, b).mean() - within(a) - within(b)


def labelled(points: Tensor, y: Tensor | None, n_classes: int | None) -> Tensor:
    """Append labels to points (B, F) as further dimensions, with classes `LABEL_DISTANCE` apart.

    The distance d of two points of different classes becomes sqrt(d^2 + LABEL_DISTANCE^2). The energy
    distance then compares joint distributions of point and label. The dropped label, -1, is one more class.

    Args:
        y: labels (B,); None returns the points unchanged.
        n_classes: number of classes without the dropped label; None returns the points unchanged.
    """
    if y is None or n_classes is None:
        return points
    one_hot = F.one_hot(torch.where(y < 0, n_classes, y), n_classes + 1)
    return torch.cat([points, LABEL_DISTANCE / 2**0.5 * one_hot.to(points.dtype)], dim=1)


def prior_energy(
    model: ReverseModel,
    clean: Tensor,
    y: Tensor | None,
    distances: Iterable[tuple[FeatureDistance, float]],
    generator: torch.Generator,
) -> Tensor:
    """Return the weighted sum of energy distances between a batch and as many samples from the prior.

    Args:
        clean: images of the batch as tokens (B, T, D), B at least 2.
        y: their labels, (B,), which the samples get too.
        distances: feature distances whose features are compared, each with its weight.
        generator: of the noise.
    """
    z = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
    drawn, real = model.to_images(model(z, y)), model.to_images(clean)

    def points(distance: FeatureDistance, images: Tensor) -> Tensor:
        return labelled(distance.features(images), y, model.spec.n_classes)

    total = clean.new_zeros(())
    for distance, weight in distances:
        with torch.no_grad():
            target = points(distance, real)
        total = total + weight * energy_distance(points(distance, drawn), target)
    return total
