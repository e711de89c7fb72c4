"""Load of others, clocks, and what NVIDIA's driver tells."""

import ctypes
from types import SimpleNamespace

import pytest
import torch

from nfbench.measure.speed import machine
from nfbench.measure.speed.timer import timed

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("other", "stolen", "busy"), [(0.2, 0.05, False), (0.3, 0.0, True), (0.0, 0.2, True), (0.0, 0.0, False)]
)
def test_a_timing_is_disturbed_by_others_and_by_the_host(other, stolen, busy):
    assert machine.is_busy(other, stolen) is busy


def test_the_load_of_others_leaves_out_our_own(monkeypatch: pytest.MonkeyPatch):
    now = SimpleNamespace(wall=0.0, own=0.0)
    spent = SimpleNamespace(user=100.0, nice=0.0, system=1.0, idle=9.0, steal=5.0)
    fake = SimpleNamespace(perf_counter=lambda: now.wall, process_time=lambda: now.own)
    monkeypatch.setattr(machine, "time", fake)
    monkeypatch.setattr(machine.psutil, "cpu_times", lambda: SimpleNamespace(**vars(spent)))
    with machine.watch_load() as load:
        now.wall, now.own = 4.0, 6.0
        spent.user, spent.system, spent.steal, spent.idle = 106.0, 2.0, 7.0, 99.0
    assert (load.other_cores, load.stolen_cores) == (0.25, 0.5)
    with machine.watch_load() as load:
        now.wall, now.own = 5.0, 7.0  # clocks of different precision must not give less than nothing
    assert (load.other_cores, load.stolen_cores) == (0.0, 0.0)


def test_passive_waiting_of_idle_threads_is_recognised():
    assert machine.waits_passively({"OMP_WAIT_POLICY": "passive"})
    assert not machine.waits_passively({"OMP_WAIT_POLICY": "active"})
    assert not machine.waits_passively({})


@pytest.mark.parametrize(("read", "mhz"), [(SimpleNamespace(current=2100.0), 2100.0), (None, None)])
def test_the_clock_of_a_cpu_may_be_unknown(monkeypatch: pytest.MonkeyPatch, read, mhz):
    monkeypatch.setattr(machine.psutil, "cpu_freq", lambda: read)
    assert machine.clock_mhz(CPU) == mhz


class FakeNvml:
    """NVML of one GPU that has spent 5 J more at every reading."""

    def __init__(self):
        self.spent = 0

    def nvmlInit_v2(self):  # noqa: N802, NVML's own names
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):  # noqa: N802
        return 0 if uuid == b"GPU-1" else 6

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, value):  # noqa: N802
        self.spent += 5000
        ctypes.cast(value, ctypes.POINTER(ctypes.c_ulonglong))[0] = self.spent
        return 0


def test_a_gpu_gives_its_energy_in_joules_and_a_reason_where_it_gives_nothing():
    gpu = machine.Gpu(FakeNvml(), "GPU-1")
    assert [gpu.joules(), gpu.joules()] == [5.0, 10.0]
    with pytest.raises(machine.NoReadingError, match="nvmlDeviceGetHandleByUUID answers with error 6"):
        machine.Gpu(FakeNvml(), "GPU-2")
    with pytest.raises(machine.NoReadingError, match="no nvmlDeviceGetClockInfo"):
        gpu.clock_mhz()


def test_the_energy_of_a_call_is_that_of_all_by_their_number(monkeypatch: pytest.MonkeyPatch):
    now, calls = SimpleNamespace(wall=0.0), []

    def call() -> None:
        calls.append(1)
        now.wall += 0.25

    monkeypatch.setattr(machine, "time", SimpleNamespace(perf_counter=lambda: now.wall))
    monkeypatch.setattr(machine.Gpu, "of", lambda device: machine.Gpu(FakeNvml(), "GPU-1"))
    assert machine.joules_per_call(CPU, call) == 5.0 / 4
    assert len(calls) == 4


@pytest.mark.gpu
def test_a_gpu_s_driver_gives_its_clock_and_its_energy():
    gpu = torch.device("cuda")
    a = torch.randn(4096, 4096, device=gpu)
    assert 100 < machine.clock_mhz(gpu) < 10_000
    assert 0 < machine.joules_per_call(gpu, timed(lambda: a @ a, gpu)) < 100


def test_a_cpu_gives_no_energy():
    assert machine.joules_per_call(CPU, lambda: None) is None
