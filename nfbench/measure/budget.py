"""Quality while a model is being trained: what a budget of training time buys."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import nn

from nfbench.measure.scores import Scores
from nfbench.sample.sample_set import SampleSet, draw, to_sample_set
from nfbench.sample.sampler import Sampler


def measure_while_training(
    sampler_of: Callable[[nn.Module], Sampler],
    *,
    seed: int,
    n: int,
    batch_size: int,
    device: torch.device,
    score: Callable[[SampleSet], Scores],
) -> Callable[[nn.Module], Scores]:
    """Return what a training loop evaluates: the quality of images 0..n-1 of a seed, from averaged weights.

    The loop leaves evaluations out of its clock, so that a curve's seconds are those of training alone.

    Args:
        sampler_of: makes the sampler of a model.
        score: what is to be measured of a sample set, e.g. `nfbench.measure.scores.scores`.
    """

    def measure(model: nn.Module) -> Scores:
        sampler = sampler_of(model)
        drawn = draw(sampler, seed=seed, n=n, batch_size=batch_size, device=device)
        samples = to_sample_set(drawn, {})
        return score(samples) | {"non_finite": samples.meta["non_finite"]}

    return measure


def crossings(
    curves: pd.DataFrame, flow: pd.DataFrame, measure: str, factor: float = 1.0
) -> dict[str, float | None]:
    """Return when each arm first has at most `factor` times the flow's distance at the same total time.

    Args:
        curves: rows of arm, seconds (of training the arm), total_seconds (and its flow), and the measure.
        flow: rows of seconds and the measure, of the flow trained on by itself. Between its rows it is
            interpolated, beyond its last it stays.
        measure: a column, e.g. fd_effnet.

    Returns:
        {arm: seconds of its own training, None where it never is}. Read off the curve's rows, so the true
        time lies between that row and the one before.
    """
    line = flow.sort_values("seconds")
    found: dict[str, float | None] = {}
    for arm, rows in curves.groupby("arm", sort=False):
        bar = factor * np.interp(rows["total_seconds"], line["seconds"], line[measure])
        below = rows.loc[rows[measure].to_numpy(dtype=float) <= bar, "seconds"]
        found[str(arm)] = None if below.empty else float(below.min())
    return found
