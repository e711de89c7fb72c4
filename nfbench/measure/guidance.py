"""Quality against the scale of guidance: a sampler at many scales, from the same noise and labels."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from nfbench.measure.scores import Scores
from nfbench.sample.sample_set import SampleSet, draw, to_sample_set
from nfbench.sample.sampler import Sampler


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
        score: what is to be measured of a sample set, e.g. `nfbench.measure.scores.scores`.

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
