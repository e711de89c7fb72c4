"""What NVIDIA's driver tells of a GPU through NVML, which comes with it: energy, clocks, version."""

import ctypes
import time
from collections.abc import Callable
from typing import Any, Self

SM_CLOCK = 1  # nvmlClockType_t
TEXT = 96  # bytes of a buffer for text, more than any version or message has


class NoReadingError(Exception):
    """The driver gives no answer; the message says why."""


class Gpu:
    """One GPU, as the driver sees it.

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
    def of(cls, device: Any) -> Self:
        """Return the GPU that a torch device is on.

        Raises:
            NoReadingError: the device is no NVIDIA GPU, or its driver does not answer.
        """
        import torch

        device = torch.device(device)
        if device.type != "cuda" or torch.version.cuda is None:
            raise NoReadingError(f"the driver of a {device.type} device gives none")
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

    def driver(self) -> str:
        """Return the driver's version."""
        text = ctypes.create_string_buffer(TEXT)
        self._ask("nvmlSystemGetDriverVersion", text, TEXT)
        return text.value.decode()

    def _ask(self, name: str, *arguments: Any) -> None:
        try:
            status = getattr(self._nvml, name)(*arguments)
        except AttributeError:
            raise NoReadingError(f"this driver has no {name}") from None
        if status != 0:
            raise NoReadingError(f"{name} answers with error {status}")


def joules_per_call(gpu: Gpu, call: Callable[[], Any], min_seconds: float = 1.0) -> float:
    """Repeat a call that waits for the device and return the energy of one, what the GPU idles on included.

    The driver renews its counter some ten times a second, so much less than a second would tell little.
    """
    before, start, calls = gpu.joules(), time.perf_counter(), 0
    while time.perf_counter() - start < min_seconds:
        call()
        calls += 1
    return (gpu.joules() - before) / calls
