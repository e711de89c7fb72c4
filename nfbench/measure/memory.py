"""How much memory calls take at most, and whether more of them would fit."""

from pathlib import Path

import torch

STATUS, CLEAR_REFS, MEMINFO = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
RESET_PEAK = "5"  # see proc_pid_clear_refs(5)


class PeakMemory:
    """Follows the most memory that was held since it was last started, beyond what was held when it was made.

    On a GPU it is that of torch's allocator: weights, caches and activations. On a CPU it is the resident
    memory of the process, in which freed memory may linger, so that small differences mean nothing; a
    system other than Linux does not tell it.

    Attributes:
        reason: why nothing is known, None where something is.
    """

    def __init__(self, device: torch.device | str):
        self.device = torch.device(device)
        self.reason = None
        self._resting = 0
        if self.device.type == "cuda":
            self._resting = torch.cuda.memory_allocated(self.device)
        elif self.device.type != "cpu" or not self._can_reset():
            self.reason = "this system does not tell the peak memory of a process"
        else:
            self._resting = status_bytes(STATUS.read_text(), "VmRSS")

    @staticmethod
    def _can_reset() -> bool:
        try:
            CLEAR_REFS.write_text(RESET_PEAK)
        except OSError:
            return False
        return STATUS.is_file()

    def start(self) -> None:
        """Forget the peak so far."""
        if self.reason is not None:
            return
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            CLEAR_REFS.write_text(RESET_PEAK)

    def peak(self) -> int | None:
        """Return the peak in bytes, None where it is not known."""
        if self.reason is not None:
            return None
        if self.device.type == "cuda":
            held = torch.cuda.max_memory_allocated(self.device)
        else:
            held = status_bytes(STATUS.read_text(), "VmHWM")
        return max(0, held - self._resting)


def status_bytes(text: str, field: str) -> int:
    """Return a field of /proc/self/status or /proc/meminfo, which give it in kB, in bytes.

    Raises:
        ValueError: there is no such field.
    """
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return 1024 * int(value.split()[0])
    raise ValueError(f"there is no field {field}")


def available_bytes() -> int | None:
    """Return how much memory the CPU's processes may still take; None where the system does not tell."""
    if not MEMINFO.is_file():
        return None
    free = [status_bytes(MEMINFO.read_text(), "MemAvailable")]
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()).isdigit():
        free.append(max(0, int(most) - int(used.read_text())))
    return min(free)


def why_not_fit(peak: int | None, batch_size: int, larger: int, available: int | None) -> str | None:
    """Say why a larger batch would not fit, by its images' number; None where it may.

    A CPU's memory is promised before it is there, and who takes too much is killed: so it is asked before.

    Args:
        peak: bytes that `batch_size` images took at most, None where unknown.
        available: bytes.
    """
    if peak is None or available is None:
        return None
    needed = peak * larger / batch_size
    if needed <= available:
        return None
    return f"does not fit: about {needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB are free"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell an error of a device, or of the CPU's allocator, that has no more memory to give."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )
