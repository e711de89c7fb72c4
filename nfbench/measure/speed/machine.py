"""The state of the machine during a timing: load of others, clock, energy. Imports no torch by itself."""

import ctypes
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import torch

BUSY_CORES = 0.25  # cores' worth of other processes' work above which a timing is flagged busy
STOLEN_CORES = 0.1  # the same of a virtual machine's time that its host gave to other guests
SM_CLOCK = 1  # nvmlClockType_t


@dataclass
class Load:
    """What kept the machine from the timed work, in cores.

    Attributes:
        other_cores: used by other processes.
        stolen_cores: kept back by the host of a virtual machine.
    """

    other_cores: float = 0.0
    stolen_cores: float = 0.0


@contextmanager
def watch_load() -> Iterator[Load]:
    """Measure the load beside the body's own while it runs; filled in at its end.

    It is the CPU time of all processes (in steps of 10 ms per core) less that of this one, by wall time; a
    body of well under 0.1 s gives no meaningful number.
    """
    load, before = Load(), _seconds()
    yield load
    wall, own, everyone, stolen = (b - a for a, b in zip(before, _seconds(), strict=True))
    load.other_cores = max(0.0, (everyone - own) / wall)
    load.stolen_cores = stolen / wall


def _seconds() -> tuple[float, float, float, float]:
    """Return wall time, CPU time of this process and of all, and stolen time, in seconds since some start."""
    spent = psutil.cpu_times()
    work = ("user", "nice", "system", "irq", "softirq")
    everyone = sum(getattr(spent, name, 0.0) for name in work)
    return time.perf_counter(), time.process_time(), everyone, getattr(spent, "steal", 0.0)


def is_busy(other_cores: float, stolen_cores: float) -> bool:
    """Decide whether a timing was disturbed by other processes or by the host."""
    return other_cores > BUSY_CORES or stolen_cores > STOLEN_CORES


def waits_passively(environ: Mapping[str, str] = os.environ) -> bool:
    """Recognise an OpenMP policy under which idle threads sleep, which distorts the time of short calls."""
    return environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE"


class NoReadingError(Exception):
    """NVIDIA's driver gives no answer; the message says why."""


class Gpu:
    """One GPU, as NVIDIA's driver sees it through NVML, which comes with the driver.

    Args:
        library: NVML, as `ctypes` loads it.
        uuid: of the GPU, "GPU-...".

    Raises:
        NoReadingError: NVML does not start, or knows no such GPU.
    """

    def __init__(self, library: Any, uuid: str):
        self._nvml = library
        self._handle = ctypes.c_void_p()
        self._ask("nvmlInit_v2")
        self._ask("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(self._handle))

    @classmethod
    def of(cls, device: "torch.device") -> "Gpu":
        """Return the GPU that a torch device is on; errors as of `Gpu`."""
        import torch

        if device.type != "cuda" or torch.version.cuda is None:
            raise NoReadingError(f"a {device.type} device has no NVIDIA driver")
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError as error:
            raise NoReadingError(f"NVML cannot be loaded ({error})") from None
        return cls(library, f"GPU-{torch.cuda.get_device_properties(device).uuid}")

    def joules(self) -> float:
        """Return the energy spent since the driver was loaded; of Volta and later."""
        millijoules = ctypes.c_ulonglong()
        self._ask("nvmlDeviceGetTotalEnergyConsumption", self._handle, ctypes.byref(millijoules))
        return millijoules.value / 1e3

    def clock_mhz(self) -> float:
        """Return the present clock of the streaming multiprocessors."""
        clock = ctypes.c_uint()
        self._ask("nvmlDeviceGetClockInfo", self._handle, SM_CLOCK, ctypes.byref(clock))
        return float(clock.value)

    def _ask(self, name: str, *arguments: Any) -> None:
        try:
            status = getattr(self._nvml, name)(*arguments)
        except AttributeError:
            raise NoReadingError(f"this driver has no {name}") from None
        if status != 0:
            raise NoReadingError(f"{name} answers with error {status}")


def clock_mhz(device: "torch.device") -> float | None:
    """Return the present clock of the GPU, or the mean of the CPU's cores; None where it is not known."""
    if device.type == "cpu":
        clock = psutil.cpu_freq()
        return clock.current if clock else None
    try:
        return Gpu.of(device).clock_mhz()
    except NoReadingError:
        return None


def joules_per_call(
    device: "torch.device", call: Callable[[], Any], min_seconds: float = 1.0
) -> float | None:
    """Repeat a call that waits for the device and return the energy of one; None where it is not known.

    What the GPU spends while idle is included. The driver renews its counter some ten times a second, so
    much less than a second would not be precise.
    """
    try:
        gpu = Gpu.of(device)
        before, start, calls = gpu.joules(), time.perf_counter(), 0
        while time.perf_counter() - start < min_seconds:
            call()
            calls += 1
        return (gpu.joules() - before) / calls
    except NoReadingError:
        return None
