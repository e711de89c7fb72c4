"""The few numbers that a curve is drawn of: Frechet distances and label accuracy of one sample set."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from nfbench.files import finite_or_none
from nfbench.measure.classifier import accuracy, load_classifier
from nfbench.measure.features import extract, weights_sha256
from nfbench.measure.quality import Reference, frechet, rank_deficient, read_reference, statistics
from nfbench.sample.sample_set import SampleSet

Scores = dict[str, float | None]


def scores(
    samples: SampleSet, references: dict[str, Reference], classifier: str | Path, device: torch.device
) -> Scores:
    """Compare one sample set with the reference in every feature space, and check its labels.

    Args:
        references: {space: its reference}.
        classifier: the domain classifier's file.

    Returns:
        fd_{space} and label_accuracy; None in every cell where an image is not finite, and for the labels
        where there are none.
    """
    if samples.meta["non_finite"]:
        return dict.fromkeys([*(f"fd_{space}" for space in references), "label_accuracy"])
    found: Scores = {}
    for space, reference in references.items():
        features = extract(space, samples.images, classifier=classifier, device=device)
        found[f"fd_{space}"] = finite_or_none(frechet(statistics(features), reference.statistics))
    labelled = (samples.labels >= 0).all()
    model = load_classifier(classifier).to(device)
    found["label_accuracy"] = accuracy(model, samples.images, samples.labels) if labelled else None
    return found


def facts(reference: Reference, n: int) -> dict[str, Any]:
    """Return what a Frechet distance of n images to a reference depends on, and whether n is enough."""
    stats = reference.statistics
    return {
        "dim": stats.dim,
        "n_reference": stats.n,
        "rank_deficient": rank_deficient(min(n, stats.n), stats.dim),
        "reference_sha256": reference.data_sha256,
        "weights_sha256": reference.weights_sha256,
    }


def read_references(paths: Iterable[str | Path], classifier: str | Path) -> dict[str, Reference]:
    """Read {space: its reference}, each from a file named after its space.

    Raises:
        UserError: a file is missing, corrupt or made with other weights, see `read_reference`.
    """
    spaces = {Path(path).stem: path for path in paths}
    return {
        space: read_reference(path, expect_weights_sha256=weights_sha256(space, classifier))
        for space, path in spaces.items()
    }
