"""Quality against the scale of guidance: a sampler at many scales, from the same noise and labels."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from nfbench.files import finite_or_none
from nfbench.measure.classifier import accuracy, load_classifier
from nfbench.measure.features import extract
from nfbench.measure.quality import Reference, frechet, rank_deficient, statistics
from nfbench.sample.sample_set import SampleSet, draw, to_sample_set
from nfbench.sample.sampler import Sampler

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


def sweep(
    sampler: Sampler,
    scales: Sequence[float],
    *,
    seed: int,
    n: int,
    batch_size: int,
    device: torch.device,
    score: Callable[[SampleSet], Scores],
) -> list[dict[str, Any]]:
    """Draw images 0..n-1 of a seed at every scale of guidance.

    Args:
        score: what is to be measured of a sample set, e.g. `scores`.

    Returns:
        One row a scale: scale, nfe, score_evaluations, non_finite (images), clipped (values), the scores.
    """
    rows = []
    for scale in scales:
        drawn = draw(sampler, seed=seed, n=n, batch_size=batch_size, guidance=scale, device=device)
        samples = to_sample_set(drawn, {})
        row = {"scale": scale} | {name: drawn.cost[name] for name in ("nfe", "score_evaluations")}
        row |= {name: samples.meta[name] for name in ("non_finite", "clipped")}
        rows.append(row | score(samples))
    return rows


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
