"""One process of the protocol: one sampler at every batch size, without and with guidance.

    pytest tests/speed/test_protocol.py --benchmark-only --sampler biflow --benchmark-json=run.json

`nfbench.measure.protocol` says which processes follow one another, and what becomes of their files.
"""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

import biflow  # noqa: F401 - registers the samplers
from nfbench.data.noise import balanced_labels, latent_noise
from nfbench.errors import UserError
from nfbench.measure.machine import watch_load
from nfbench.measure.memory import PeakMemory, available_bytes, is_out_of_memory, why_not_fit
from nfbench.measure.nvml import Gpu, NoReadingError, joules_per_call
from nfbench.measure.speed import rounds_within, timed, warm_up
from nfbench.measure.work import seconds_of_products, work_of
from nfbench.sample.sampler import Sampler

BATCH_SIZES = (1, 16, 64, 256)
GUIDANCE = (0.0, 1.0)
WARM_UP = 5  # times --max-seconds, at most


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one benchmark per batch size and scale of guidance, small batches first, or one skipped test."""
    config, name = metafunc.config, Path(__file__).name
    chosen = config.getoption("--sampler") or []
    asked = config.getoption("benchmark_only") and any(name in word for word in config.args)
    if not asked or len(chosen) != 1:
        reason = f"one process of the protocol: pytest tests/speed/{name} --benchmark-only --sampler NAME"
        metafunc.parametrize("cell", [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="all")])
        return
    sizes = sorted(config.getoption("--batch-size") or BATCH_SIZES)
    scales = config.getoption("--protocol-guidance") or GUIDANCE
    cells = [(chosen[0], size, scale) for size, scale in itertools.product(sizes, scales)]
    metafunc.parametrize("cell", cells, ids=[f"{n}-batch{b}-guidance{w:g}" for n, b, w in cells])


@pytest.fixture(scope="module")
def memory(device: str) -> PeakMemory:
    """Return what follows the memory that is taken beyond that of the process without a sampler."""
    return PeakMemory(device)


@pytest.fixture(scope="module")
def peaks() -> dict[float, tuple[int, int | None]]:
    """Return (images, bytes) of the largest batch so far, by scale of guidance."""
    return {}


def why_missing(
    sampler: Sampler, z: torch.Tensor, y: torch.Tensor | None, guidance: float, known: tuple | None
) -> str | None:
    """Say why a cell cannot be measured, after one call of it; None where it can."""
    if guidance and y is None:
        return "not guided: there are no classes"
    if known is not None and z.device.type == "cpu":
        reason = why_not_fit(known[1], known[0], len(z), available_bytes())
        if reason is not None:
            return reason
    try:
        sampler.sample(z, y, guidance)
    except UserError as error:
        if not guidance:
            raise
        return f"not guided: {error}"
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if z.is_cuda:
            torch.cuda.empty_cache()
        return f"does not fit: {str(error).splitlines()[0]}"
    return None


def weigh(another: Sampler, call: Any, arguments: tuple, seconds: float, device: str) -> dict[str, Any]:
    """Count what a call computes, time its bare products, and take its energy.

    Args:
        another: a sampler nothing was drawn with yet.
        call: what was timed; it took so many seconds.
    """
    n_images, work = len(arguments[0]), work_of(lambda: another.sample(*arguments))
    found: dict[str, Any] = {"flops_per_image": work.flops / n_images, "utilisation": None}
    if work.only_products():
        found["utilisation"] = seconds_of_products(work.products, device) / seconds
    else:
        found["utilisation_reason"] = "its FLOPs are not of products of matrices alone"
    try:
        found["joules_per_image"] = joules_per_call(Gpu.of(device), timed(call, device)) / n_images
    except NoReadingError as error:
        found |= {"joules_per_image": None, "joules_reason": str(error)}
    return found


def test_protocol(
    benchmark, cell, build_sampler, another_sampler, memory, peaks, process_notes, device, pytestconfig
):
    name, batch_size, guidance = cell
    sampler, checkpoint = build_sampler(name)
    z = latent_noise(0, range(batch_size), sampler.latent_shape).float().to(device)
    n_classes = sampler.n_classes
    y = None if n_classes is None else balanced_labels(range(batch_size), n_classes).to(device)
    reason = why_missing(sampler, z, y, guidance, peaks.get(guidance))
    if reason is not None:
        process_notes["missing"].append({"batch_size": batch_size, "guidance": guidance, "reason": reason})
        pytest.skip(reason)

    def call() -> None:
        sampler.sample(z, y, guidance)

    max_seconds = pytestconfig.getoption("--max-seconds")
    memory.start()
    with watch_load() as load:
        warm = warm_up(call, device, min_seconds=max_seconds / 2, max_seconds=WARM_UP * max_seconds)
        rounds = rounds_within(warm.seconds, max_seconds, pytestconfig.getoption("--min-rounds"))
        benchmark.pedantic(timed(call, device), rounds=rounds, iterations=1)
    peaks[guidance] = batch_size, memory.peak()

    benchmark.group = f"batch {batch_size}, guidance {guidance:g}"
    benchmark.extra_info.update(
        batch_size=batch_size,
        guidance=guidance,
        threads=torch.get_num_threads(),
        checkpoint_sha256=checkpoint,
        load_average=process_notes["conditions"]["load_average"],
        other_cores=load.other_cores,
        stolen_cores=load.stolen_cores,
        warm_up_calls=warm.calls,
        warm_up_stable=warm.stable,
        peak_memory_bytes=peaks[guidance][1],
        peak_memory_reason=memory.reason,
        work=None,
    )
    if pytestconfig.getoption("--work"):
        seconds = benchmark.stats.stats.median
        work = weigh(another_sampler(name), call, (z, y, guidance), seconds, device)
        benchmark.extra_info["work"] = work
