"""Speed against error: samplers with many settings, timed in turn in one process."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nfbench.measure.inversion import finite_mean, mse_per_image
from nfbench.measure.ratios import Interleaved, quartiles
from nfbench.measure.speed import timed
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


def times(
    samplers: Sequence[Sampler],
    z: Tensor,
    y: Tensor | None,
    *,
    batch_size: int,
    guidance: float = 0.0,
    rounds: int = 5,
) -> list[dict[str, Any]]:
    """Time every sampler on the same images, taken `batch_size` at a time, in turn and after a warm-up.

    Returns:
        For each: batch_size, ms_per_image (median over rounds) with its quartiles, rounds.
    """
    parts = [
        (z[i : i + batch_size], None if y is None else y[i : i + batch_size])
        for i in range(0, len(z), batch_size)
    ]

    def sample(sampler: Sampler) -> None:
        for noise, labels in parts:
            sampler.sample(noise, labels, guidance)

    calls = {str(i): timed(partial(sample, sampler), z.device) for i, sampler in enumerate(samplers)}
    for call in calls.values():
        call()  # warms up
    interleaved = Interleaved(calls, seed=0)
    for _ in range(rounds):
        interleaved.round()
    found = []
    for seconds in interleaved.seconds.values():
        ms = quartiles([1e3 * value / len(z) for value in seconds])
        spread = {"ms_per_image_q1": ms["q1"], "ms_per_image_q3": ms["q3"]}
        found.append({"batch_size": batch_size, "ms_per_image": ms["median"], **spread, "rounds": rounds})
    return found
