"""Speed against error: samplers with many settings, timed in turn in one process."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nfbench.measure.inversion import finite_mean, mse_per_image
from nfbench.measure.speed import synchronise
from nfbench.sample.sampler import Sampler


def errors(
    samplers: Sequence[Sampler], exact: Sampler, z: Tensor, y: Tensor | None, guidance: float = 0.0
) -> list[dict[str, Any]]:
    """Compare every sampler with the exact inverse of the same noise.

    Args:
        z, y: noise (B, T, D) and class ids (B,) or None, on the samplers' device.

    Returns:
        For each: inversion_mse ([-1, 1] units squared, over finite images), non_finite (images), max_error
        (largest difference of a value), nfe, token_steps, and sweeps (per block, data side first).
    """
    truth = exact.sample(z, y, guidance).images
    found = []
    for sampler in samplers:
        out = sampler.sample(z, y, guidance)
        mse, non_finite = finite_mean(mse_per_image(out.images, truth))
        difference = (out.images - truth).abs()
        found.append(
            {
                "inversion_mse": mse,
                "non_finite": non_finite,
                "max_error": difference[torch.isfinite(difference)].max().item(),
                "nfe": out.nfe,
                "token_steps": out.token_steps,
                "sweeps": out.sweeps,
            }
        )
    return found


def interleaved_seconds(
    calls: Sequence[Callable[[], Any]], device: torch.device | str, *, rounds: int, seed: int = 0
) -> np.ndarray:
    """Time calls in turn, each once a round in an order drawn anew, after one untimed round.

    A machine whose speed drifts then slows all of them alike.

    Returns:
        Seconds, (rounds, calls).
    """
    order, seconds = np.random.default_rng(seed), np.zeros((rounds, len(calls)))
    for call in calls:
        call()
    synchronise(device)
    for line in seconds:
        for index in order.permutation(len(calls)):
            before = time.perf_counter()
            calls[index]()
            synchronise(device)
            line[index] = time.perf_counter() - before
    return seconds


def times(
    samplers: Sequence[Sampler],
    z: Tensor,
    y: Tensor | None,
    *,
    batch_size: int,
    guidance: float = 0.0,
    rounds: int = 5,
) -> list[dict[str, Any]]:
    """Time every sampler on the same images, taken `batch_size` at a time.

    Returns:
        For each: batch_size, ms_per_image (median over rounds) with its quartiles, rounds.
    """
    parts = [
        (z[i : i + batch_size], None if y is None else y[i : i + batch_size])
        for i in range(0, len(z), batch_size)
    ]

    def call(sampler: Sampler) -> Callable[[], None]:
        def run() -> None:
            for noise, labels in parts:
                sampler.sample(noise, labels, guidance)

        return run

    seconds = interleaved_seconds([call(sampler) for sampler in samplers], z.device, rounds=rounds)
    quartiles = np.percentile(1e3 * seconds / len(z), [25, 50, 75], axis=0).T.tolist()
    return [
        {
            "batch_size": batch_size,
            "ms_per_image": median,
            "ms_per_image_q1": q1,
            "ms_per_image_q3": q3,
            "rounds": rounds,
        }
        for q1, median, q3 in quartiles
    ]
