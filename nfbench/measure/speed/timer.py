"""Timing of calls: synchronised and warm, with the memory they take."""

import ctypes
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # see mallopt(3)
MOST_KEPT = 2**30  # bytes
MOST_CALLS = 1000
AGREE = 0.05  # relative difference up to which two times are the same
MATMUL_SIDE = {"cuda": 8192, "cpu": 1024}  # of the square matrices whose product shows what a device can do
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # see proc_pid_clear_refs(5)
# Limit and use of a container's memory, in control groups of version 2 and of version 1.
CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def keep_freed_memory() -> None:
    """Let the C library keep freed memory rather than give it back, where it is glibc.

    By default it gives memory back after every call in some processes and keeps it in others, of the same
    sampler; taking it anew costs thousands of page faults a call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda parameter, value: 0)
    mallopt(M_MMAP_MAX, 0)  # large blocks come from the heap too, which is kept
    mallopt(M_TRIM_THRESHOLD, MOST_KEPT)


def synchronise(device: torch.device | str) -> None:
    """Wait until the device has finished its work."""
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def timed(call: Callable[[], Any], device: torch.device | str) -> Callable[[], None]:
    """Return a function that makes the call and waits for the device."""

    def run() -> None:
        call()
        synchronise(device)

    return run


@dataclass(frozen=True)
class WarmUp:
    """Result of a warm-up.

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
    device: torch.device | str,
    *,
    min_calls: int = 3,
    min_seconds: float = 0.2,
    max_seconds: float = 10.0,
) -> WarmUp:
    """Repeat a call until its time is stable.

    Calls are made in blocks of at least `min_calls` calls and `min_seconds`. It ends when the medians of two
    successive blocks agree, or after the first call that ends later than `max_seconds`, so that one call is
    always made.
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
        if earlier is not None and agree(earlier, median):
            return WarmUp(median, calls, stable=True)
        earlier = median


def agree(earlier: float, later: float) -> bool:
    """Decide whether a time is the same as an earlier one."""
    return abs(later - earlier) <= AGREE * earlier


def n_calls(seconds_per_call: float, seconds: float, min_calls: int) -> int:
    """Return how many calls fit into a time: at least `min_calls`, at most MOST_CALLS."""
    return max(min_calls, min(MOST_CALLS, int(seconds / max(seconds_per_call, 1e-9))))


def matmul_flops_per_second(device: torch.device, precision: str, max_seconds: float) -> float:
    """Return the rate at which the device multiplies two large square matrices.

    A sampler's utilisation is its own rate (FLOPs an image times images a second) over this one, both
    measured in the same process.

    Args:
        precision: "fp32" or "bf16".
    """
    side = MATMUL_SIDE.get(device.type, MATMUL_SIDE["cpu"])
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    warm = warm_up(lambda: torch.mm(left, right, out=out), device, max_seconds=max_seconds)
    return 2 * side**3 / warm.seconds


class PeakMemory:
    """Measures the most memory held since its last start, beyond what was held when it was made.

    On a GPU it is the memory of torch's allocator: weights, caches and activations. On a CPU it is the
    resident memory of the process, pages of files left out, in which freed memory may linger, so that small
    differences mean nothing. Linux alone gives the latter.
    """

    def __init__(self, device: torch.device | str):
        self.device = torch.device(device)
        self.known = self.device.type == "cuda" or (self.device.type == "cpu" and _can_reset_peak())
        self._resting = self._held_now() if self.known else 0

    def _held_now(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.memory_allocated(self.device)
        return resident(STATUS.read_text(), "VmRSS")

    def start(self) -> None:
        """Forget the peak so far."""
        if self.known and self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif self.known:
            CLEAR_REFS.write_text(RESET_PEAK)

    def peak(self) -> int | None:
        """Return the peak in bytes, None where it is not known."""
        if not self.known:
            return None
        if self.device.type == "cuda":
            held = torch.cuda.max_memory_allocated(self.device)
        else:
            held = resident(STATUS.read_text(), "VmHWM")
        return max(0, held - self._resting)


def _can_reset_peak() -> bool:
    try:
        CLEAR_REFS.write_text(RESET_PEAK)
        return all(name in STATUS.read_text() for name in ("VmHWM:", "RssFile:"))
    except OSError:
        return False


def resident(status: str, name: str) -> int:
    """Return resident memory in bytes, from the text of /proc/self/status: VmRSS now, VmHWM at its peak.

    Less the pages of files: code that a process runs for the first time is no memory that it takes.
    """
    sizes = {line.split()[0]: line.split()[1] for line in status.splitlines() if line.endswith("kB")}
    return 1024 * (int(sizes[f"{name}:"]) - int(sizes["RssFile:"]))


def available_bytes() -> int:
    """Return how much memory processes on the CPU may still take, by the system and by its container."""
    free = [psutil.virtual_memory().available]
    for limit, used in CGROUPS:
        if limit.is_file() and used.is_file() and (most := limit.read_text().strip()).isdigit():
            free.append(max(0, int(most) - int(used.read_text())))
    return min(free)


def why_not_fit(peak: int | None, batch_size: int, larger: int, available: int) -> str | None:
    """Return the reason why a larger batch would not fit; None where it may.

    A CPU's memory is promised before it is there, and a process that takes too much is killed: so it is
    checked before.

    Args:
        peak: bytes that `batch_size` images took at most, None where unknown.
        larger: number of images in the larger batch.
        available: bytes.
    """
    if peak is None or (needed := peak * larger / batch_size) <= available:
        return None
    return f"does not fit: about {needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB are free"


def is_out_of_memory(error: BaseException) -> bool:
    """Recognise the error of a device, or of the CPU's allocator, that has no more memory to give."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )
