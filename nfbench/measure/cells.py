"""Timing one cell of a table of speeds: latency, its spread, memory, and the share of what the device can."""

import time
from collections.abc import Callable
from typing import Any

import torch

from nfbench.measure.ratios import quartiles
from nfbench.measure.speed import is_busy, rounds_within, timed, warm_up, watch_others

# Side of the square matrices whose product shows what a device can do.
MATMUL_SIDE = {"cuda": 8192, "cpu": 1024}
TIMED = ("seconds_per_image", "seconds_per_image_q1", "seconds_per_image_q3", "images_per_second")


def matmul_flops_per_second(device: torch.device, precision: str, max_seconds: float = 4.0) -> float:
    """Return the rate at which the device multiplies two large square matrices, FLOPs a second.

    A multiplication with its addition is two, as everywhere (`nfbench.measure.flops`).
    """
    side = MATMUL_SIDE[device.type]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    return (
        2 * side**3 / warm_up(lambda: torch.mm(left, right, out=out), device, max_seconds=max_seconds).seconds
    )


def time_cell(
    call: Callable[[], Any],
    n_images: int,
    device: torch.device,
    *,
    max_seconds: float,
    min_rounds: int,
) -> dict[str, Any]:
    """Time a call warm and synchronised; a cell that the device's memory does not hold has empty times.

    Args:
        call: draws `n_images` images.
        max_seconds: for the rounds, unless `min_rounds` need more; warming up may take half as much again.

    Returns:
        TIMED (median and quartiles over rounds), peak_memory_gib (of all that is on the GPU, None on a CPU),
        rounds, warm_up_stable, busy, and note: why something is empty, else None.
    """
    empty = dict.fromkeys([*TIMED, "peak_memory_gib", "rounds", "warm_up_stable", "busy"])
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        row = _timed(call, n_images, device, max_seconds, min_rounds)
    except torch.OutOfMemoryError:
        return empty | {"note": "out of memory"}
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if on_gpu else None
    return empty | row | {"peak_memory_gib": peak, "note": None}


def _timed(
    call: Callable[[], Any], n_images: int, device: torch.device, max_seconds: float, min_rounds: int
) -> dict[str, Any]:
    warm = warm_up(call, device, max_seconds=max_seconds / 2)
    rounds, run, seconds = rounds_within(warm.seconds, max_seconds, min_rounds), timed(call, device), []
    with watch_others() as others:
        for _ in range(rounds):
            before = time.perf_counter()
            run()
            seconds.append((time.perf_counter() - before) / n_images)
    spread = quartiles(seconds)
    values = (spread["median"], spread["q1"], spread["q3"], 1 / spread["median"])
    told = {"rounds": rounds, "warm_up_stable": warm.stable, "busy": is_busy(others.cores, None)}
    return dict(zip(TIMED, values, strict=True)) | told
