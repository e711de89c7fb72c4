"""Warm-up, number of calls and memory, on a clock of our own."""

import subprocess
import sys

import pytest
import torch

from nfbench.measure.speed import timer
from nfbench.measure.speed.timer import WarmUp, warm_up


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timer, "time", clock)
    return clock


def calls_taking(clock: Clock, *seconds: float):
    """Return a call that takes these times, then the last one for ever."""
    times = list(seconds)

    def call() -> None:
        clock.now += times.pop(0) if len(times) > 1 else times[0]

    return call


@pytest.mark.parametrize(
    ("seconds", "options", "result"),
    [
        ([1.0], {}, WarmUp(seconds=1.0, calls=6, stable=True)),
        ([3.0] * 3 + [2.0] * 3 + [1.0], {"max_seconds": 99}, WarmUp(1.0, calls=12, stable=True)),
        ([0.03125], {"min_seconds": 0.25}, WarmUp(0.03125, calls=16, stable=True)),
        ([50.0], {"max_seconds": 10}, WarmUp(50.0, calls=1, stable=False)),
    ],
)
def test_a_call_is_warm_when_two_blocks_agree_or_time_is_up(clock: Clock, seconds, options, result):
    assert warm_up(calls_taking(clock, *seconds), "cpu", **options) == result


def test_times_agree_within_five_percent_of_the_earlier():
    assert timer.agree(2.0, 2.09)
    assert not timer.agree(2.0, 1.89)


def test_timed_makes_the_call_once():
    calls = []
    timer.timed(lambda: calls.append(1), "cpu")()
    assert calls == [1]


@pytest.mark.parametrize(("per_call", "calls"), [(0.5, 20), (60, 5), (2, 5), (1e-6, 1000), (0, 1000)])
def test_calls_fill_the_time_within_bounds(per_call: float, calls: int):
    assert timer.n_calls(per_call, seconds=10, min_calls=5) == calls


def test_the_rate_of_a_product_is_its_flops_by_its_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timer, "MATMUL_SIDE", {"cpu": 10})
    monkeypatch.setattr(timer, "warm_up", lambda *_, **__: WarmUp(4.0, 1, stable=True))
    assert timer.matmul_flops_per_second(torch.device("cpu"), "bf16", 1) == 2 * 10**3 / 4


FAULTS = """
import ctypes, resource
from nfbench.measure.speed.timer import keep_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def fill(size=2**26):  # more than is kept by default
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    place = libc.malloc(size)
    ctypes.memset(place, 1, size)
    libc.free(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(*[fill() for _ in range(4)])
"""


def test_freed_memory_is_taken_again_without_page_faults():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    first, *_, last = map(int, done.stdout.split())
    assert last < first / 2


def test_the_peak_of_resident_memory_is_in_bytes():
    status = "Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t 9 kB\nRssFile:\t 2 kB"
    assert [timer.resident(status, name) for name in ("VmHWM", "VmRSS")] == [10 * 1024, 7 * 1024]


def test_the_peak_of_memory_is_what_a_tensor_took_and_is_forgotten_at_the_start():
    watched = timer.PeakMemory("cpu")
    if not watched.known:
        pytest.skip("this system does not tell the peak memory of a process")
    large = torch.ones(40 * 2**20)  # 160 MiB, which the allocator gives back when it is freed
    del large
    assert watched.peak() > 150 * 2**20
    watched.start()
    assert watched.peak() < 100 * 2**20


@pytest.mark.gpu
def test_on_a_gpu_the_peak_is_what_a_tensor_took():
    memory = timer.PeakMemory("cuda")
    memory.start()
    torch.ones(2**22, device="cuda")
    assert memory.peak() == 2**24


def test_a_container_s_limit_counts_where_it_is_below_what_the_system_has(tmp_path, monkeypatch):
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    limit.write_text("1000\n")
    used.write_text("400\n")
    monkeypatch.setattr(timer, "CGROUPS", ((limit, used), (tmp_path / "none", used)))
    assert timer.available_bytes() == 600
    limit.write_text("max\n")
    assert timer.available_bytes() > 10**6


def test_a_batch_does_not_fit_by_what_a_smaller_one_took():
    assert timer.why_not_fit(2**30, 16, 64, available=5 * 2**30) is None
    assert timer.why_not_fit(2**30, 16, 64, 3 * 2**30) == (
        "does not fit: about 4.0 GiB of memory, 3.0 GiB are free"
    )
    assert timer.why_not_fit(None, 16, 64, 0) is None


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("allocate memory"), False),
    ],
)
def test_only_a_lack_of_memory_is_taken_for_one(error, out):
    assert timer.is_out_of_memory(error) is out
