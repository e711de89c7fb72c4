"""Images from the prior, matched to the data as a distribution.

The other terms of a loss show the reverse only noise that the flow made of images, which the flow has not
quite learned to make normal. This one shows it the prior's, where no image is known that should come of it,
and compares distributions in its place. It is no part of BiFlow.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from biflow.model import ReverseModel
from biflow.perceptual.features import FeatureDistance

LABEL_DISTANCE = 0.3  # between points that differ in their label alone; features lie at most 2 apart


def energy_distance(a: Tensor, b: Tensor) -> Tensor:
    """Estimate the energy distance of the distributions that two sets of points are drawn from.

    2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely and Rizzo, 2013, doi:10.1016/j.jspi.2013.03.018), without
    bias: pairs of a point with itself are left out. The distance itself is 0 for equal distributions alone;
    its estimate may be negative.

    Args:
        a: points (N, F), N at least 2.
        b: points (M, F), M at least 2.
    """

    def within(points: Tensor) -> Tensor:
        return torch.cdist(points, points).sum() / (len(points) * (len(points) - 1))

    return 2 * torch.cdist(a, b).mean() - within(a) - within(b)


def labelled(points: Tensor, y: Tensor | None, n_classes: int | None) -> Tensor:
    """Append labels to points (B, F) as further dimensions, in which classes lie `LABEL_DISTANCE` apart.

    Points of two classes that were d apart are then sqrt(d^2 + LABEL_DISTANCE^2) apart.
    Equal distributions of the result are equal joint distributions of point and label: every class has to
    match its own images. A dropped label, -1, counts as a class of its own.

    Args:
        y: (B,), or None where there are no classes; the points are then left as they are.
        n_classes: how many classes there are, without the dropped label.
    """
    if y is None or n_classes is None:
        return points
    one_hot = F.one_hot(torch.where(y < 0, n_classes, y), n_classes + 1)
    return torch.cat([points, LABEL_DISTANCE / 2**0.5 * one_hot.to(points.dtype)], dim=1)


def prior_energy(
    model: ReverseModel,
    clean: Tensor,
    y: Tensor | None,
    weighed: Iterable[tuple[FeatureDistance, float]],
    generator: torch.Generator,
) -> Tensor:
    """Compare as many images from the prior as there are in the batch with the batch, class by class.

    Args:
        clean: the batch's images as tokens (B, T, D), B at least 2.
        y: their labels, (B,); the images from the prior are made for the same ones.
        weighed: distances whose features are compared, each with its weight.
        generator: of the noise.

    Returns:
        The weighted sum of energy distances.
    """
    z = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
    drawn, real = model.to_images(model(z, y)), model.to_images(clean)

    def points(distance: FeatureDistance, images: Tensor) -> Tensor:
        return labelled(distance.features(images), y, model.spec.n_classes)

    total = clean.new_zeros(())
    for distance, weight in weighed:
        with torch.no_grad():
            wanted = points(distance, real)
        total = total + weight * energy_distance(points(distance, drawn), wanted)
    return total
