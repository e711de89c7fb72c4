"""What is recorded of a machine: load, clocks, OpenMP, memory, and what NVIDIA's driver tells."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nfbench.measure import machine, memory, nvml
from nfbench.measure.machine import disturbance


@pytest.mark.parametrize(
    ("other", "stolen", "average", "reason"),
    [
        (0.2, 0.05, 9.0, None),
        (0.3, 0.0, 0.0, "other processes used 0.30 cores"),
        (0.0, 0.2, 0.0, "the host of this virtual machine kept 0.20 cores"),
        (None, None, 2.2, None),  # our own two threads
        (None, None, 3.0, "other processes used 1.00 cores"),
        (None, None, None, None),
    ],
)
def test_a_timing_is_disturbed_by_others_and_by_the_host(other, stolen, average, reason):
    assert disturbance(other, stolen, average, threads=2) == reason


def test_the_host_s_share_is_taken_over_the_body(monkeypatch: pytest.MonkeyPatch):
    stolen = iter([5.0, 5.0 + 1e6])
    monkeypatch.setattr(machine, "_stolen_seconds", lambda: next(stolen))
    with machine.watch_load() as load:
        assert load.stolen_cores is None
    assert load.stolen_cores > 1e3
    monkeypatch.setattr(machine, "_stolen_seconds", lambda: None)
    with machine.watch_load() as load:
        pass
    assert load.stolen_cores is None


def test_the_openmp_policy_names_what_is_set_and_passive_waiting_is_told():
    assert machine.openmp_policy({"HOME": "/"}) == "default"
    policy = machine.openmp_policy({"OMP_WAIT_POLICY": "passive", "HOME": "/", "KMP_BLOCKTIME": "0"})
    assert policy == "KMP_BLOCKTIME=0 OMP_WAIT_POLICY=passive"
    assert machine.waits_passively(policy)
    assert not machine.waits_passively("OMP_WAIT_POLICY=active")


def test_the_clock_is_the_cores_mean(tmp_path: Path):
    file = tmp_path / "cpuinfo"
    file.write_text("cpu MHz\t\t: 2000.0\ncache size: 1 KB\ncpu MHz\t\t: 3000.0\n")
    assert machine.cpu_clock_mhz(file) == 2500.0
    assert machine.cpu_clock_mhz(tmp_path / "none") is None


def test_the_conditions_of_a_cpu_have_no_driver():
    found = machine.conditions("cpu")
    assert found["threads"] == torch.get_num_threads()
    assert found["driver"] is None


def test_fields_of_memory_are_in_bytes():
    assert memory.status_bytes("Name:\tx\nVmHWM:\t   12 kB\n", "VmHWM") == 12 * 1024
    with pytest.raises(ValueError, match="no field VmRSS"):
        memory.status_bytes("VmHWM: 12 kB", "VmRSS")


def test_a_batch_is_said_not_to_fit_by_what_a_smaller_one_took():
    assert memory.why_not_fit(2**30, 16, 64, available=5 * 2**30) is None
    assert memory.why_not_fit(2**30, 16, 64, 3 * 2**30) == (
        "does not fit: about 4.0 GiB of memory, 3.0 GiB are free"
    )
    assert memory.why_not_fit(None, 16, 64, 0) is None


@pytest.mark.skipif(not memory.STATUS.is_file(), reason="memory is told by Linux alone")
def test_the_peak_of_memory_is_what_a_tensor_took_and_is_forgotten_at_the_start():
    watched = memory.PeakMemory("cpu")
    if watched.reason is not None:
        pytest.skip(watched.reason)
    large = torch.ones(40 * 2**20)  # 160 MiB, which the allocator gives back when it is freed
    del large
    assert watched.peak() > 150 * 2**20
    watched.start()
    assert watched.peak() < 100 * 2**20


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
    assert memory.is_out_of_memory(error) is out


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

    def nvmlDeviceGetClockInfo(self, handle, kind, value):  # noqa: N802
        ctypes.cast(value, ctypes.POINTER(ctypes.c_uint))[0] = 1980
        return 0


def test_a_gpu_is_asked_for_energy_in_joules_and_for_its_clock():
    gpu = nvml.Gpu(FakeNvml(), "GPU-1")
    assert [gpu.joules(), gpu.joules()] == [5.0, 10.0]
    assert gpu.clock_mhz() == 1980.0


def test_what_the_driver_does_not_tell_has_a_reason():
    with pytest.raises(nvml.NoReadingError, match="nvmlDeviceGetHandleByUUID answers with error 6"):
        nvml.Gpu(FakeNvml(), "GPU-2")
    with pytest.raises(nvml.NoReadingError, match="no nvmlSystemGetDriverVersion"):
        nvml.Gpu(FakeNvml(), "GPU-1").driver()
    with pytest.raises(nvml.NoReadingError, match="cpu device gives none"):
        nvml.Gpu.of("cpu")


def test_the_energy_of_a_call_is_that_of_all_by_their_number(monkeypatch: pytest.MonkeyPatch):
    now, calls = SimpleNamespace(wall=0.0), []

    def call() -> None:
        calls.append(1)
        now.wall += 0.25

    monkeypatch.setattr(nvml, "time", SimpleNamespace(perf_counter=lambda: now.wall))
    assert nvml.joules_per_call(nvml.Gpu(FakeNvml(), "GPU-1"), call, min_seconds=1.0) == 5.0 / 4
    assert len(calls) == 4
