"""Timing by the rules: warm, synchronised, with the machine's other load on record."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # reading a benchmark's file needs no torch, whose import takes seconds
    import torch

from nfbench.errors import UserError
from nfbench.files import read_json

# Cores' worth of other processes' work above which a timing is marked busy.
BUSY_CORES = 0.25


def synchronise(device: "torch.device | str") -> None:
    """Wait until the device has done all that it was given; a CPU always has."""
    import torch

    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def timed(call: Callable[[], Any], device: "torch.device | str") -> Callable[[], None]:
    """Return a function that makes the call and waits for the device: what a timer is to time."""

    def run() -> None:
        call()
        synchronise(device)

    return run


@dataclass(frozen=True)
class WarmUp:
    """How a warm-up went.

    Attributes:
        seconds: median time of one call in the last block.
        calls: calls made.
        stable: whether the last two blocks agreed; False where `max_seconds` ended it.
    """

    seconds: float
    calls: int
    stable: bool


def warm_up(
    call: Callable[[], Any],
    device: "torch.device | str",
    *,
    min_calls: int = 3,
    min_seconds: float = 0.2,
    tolerance: float = 0.05,
    max_seconds: float = 10.0,
) -> WarmUp:
    """Repeat a call until its time is stable.

    Calls are made in blocks of at least `min_calls` calls and `min_seconds`. It ends when the
    medians of two blocks running differ by at most `tolerance` of the earlier one, or after the
    first call that ends later than `max_seconds`, so that one call is always made.
    """
    run, start = timed(call, device), time.perf_counter()
    calls, earlier = 0, None
    while True:
        block: list[float] = []
        while len(block) < min_calls or sum(block) < min_seconds:
            before = time.perf_counter()
            run()
            block.append(time.perf_counter() - before)
            if time.perf_counter() - start > max_seconds:
                return WarmUp(statistics.median(block), calls + len(block), stable=False)
        calls += len(block)
        median = statistics.median(block)
        if earlier is not None and abs(median - earlier) <= tolerance * earlier:
            return WarmUp(median, calls, stable=True)
        earlier = median


def rounds_within(seconds_per_call: float, max_seconds: float, min_rounds: int = 5) -> int:
    """Return how many calls fit into `max_seconds`: at least `min_rounds`, at most 1000."""
    return max(min_rounds, min(1000, int(max_seconds / max(seconds_per_call, 1e-9))))


@dataclass
class OtherLoad:
    """Work of other processes on this machine, in cores; None where the system does not tell."""

    cores: float | None = None


@contextmanager
def watch_others() -> Iterator[OtherLoad]:
    """Measure what other processes use of the machine's cores while the body runs.

    All processes' CPU time (/proc/stat, in steps of 10 ms per core) less this one's, by wall time;
    so a body of well under 0.1 s tells nothing. The result is filled in at the end.
    """
    load = OtherLoad()
    before = (_busy_seconds(), time.process_time(), time.perf_counter())
    yield load
    after = (_busy_seconds(), time.process_time(), time.perf_counter())
    if before[0] is not None and after[0] is not None:
        others = (after[0] - before[0]) - (after[1] - before[1])
        load.cores = max(0.0, others / (after[2] - before[2]))


def _busy_seconds() -> float | None:
    """Return the seconds that all cores together have worked since boot; None but on Linux."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq = (int(n) for n in first[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def is_busy(other_cores: float | None, load_average: float | None) -> bool:
    """Say whether a timing was disturbed: others used more than BUSY_CORES cores.

    Where the others' use is unknown the load average before the timing stands for it.
    """
    used = other_cores if other_cores is not None else load_average
    return used is not None and used > BUSY_CORES


def read_benchmark_json(path: str | Path) -> list[dict[str, Any]]:
    """Read what pytest-benchmark wrote for tests/speed.

    Returns:
        One row per benchmark: sampler, batch_size, device, threads, median_s, q1_s, q3_s (seconds a
        call), seconds_per_image, rounds, busy, and everything else of its extra_info.

    Raises:
        UserError: the file is missing, no JSON, or lacks what tests/speed writes.
    """
    content = read_json(path)
    try:
        return [_row(benchmark) for benchmark in content["benchmarks"]]
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise UserError(
            f"{path} is no result of tests/speed ({type(error).__name__}: {error}); delete it and"
            " run the benchmark again."
        ) from None


def _row(benchmark: dict[str, Any]) -> dict[str, Any]:
    stats, extra = benchmark["stats"], benchmark["extra_info"]
    named = {name: extra[name] for name in ("sampler", "batch_size", "device", "threads")}
    measured = {
        "median_s": stats["median"],
        "q1_s": stats["q1"],
        "q3_s": stats["q3"],
        "seconds_per_image": stats["median"] / extra["batch_size"],
        "rounds": stats["rounds"],
        "busy": is_busy(extra["other_cores"], extra["load_average"]),
    }
    return {**extra, **named, **measured}
