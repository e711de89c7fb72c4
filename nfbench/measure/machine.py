"""The state of the machine that a time was taken on, and the rule by which it was too busy."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nfbench.measure.nvml import Gpu, NoReadingError
from nfbench.measure.speed import BUSY_CORES, watch_others

if TYPE_CHECKING:
    import torch

# Cores' worth of time that a virtual machine wanted and did not get from its host, above which a time is
# marked.
STOLEN_CORES = 0.1
OPENMP_PREFIXES = ("OMP_", "GOMP_", "KMP_", "MKL_")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

T = TypeVar("T")


@dataclass
class Load:
    """What kept a machine from the work that was timed, in cores; None where the system does not tell.

    Attributes:
        other_cores: other processes.
        stolen_cores: other guests of a virtual machine's host.
    """

    other_cores: float | None = None
    stolen_cores: float | None = None


@contextmanager
def watch_load() -> Iterator[Load]:
    """Measure the load beside the body's own while it runs; see `nfbench.measure.speed.watch_others`."""
    import time

    load, stolen, start = Load(), _stolen_seconds(), time.perf_counter()
    with watch_others() as others:
        yield load
    load.other_cores = others.cores
    if stolen is not None:
        load.stolen_cores = (_stolen_seconds() - stolen) / (time.perf_counter() - start)


def _stolen_seconds() -> float | None:
    """Return the seconds that the host kept from all cores together since boot; None but on Linux."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return None
    return int(first[8]) / os.sysconf("SC_CLK_TCK") if len(first) > 8 else None


def disturbance(
    other_cores: float | None, stolen_cores: float | None, load_average: float | None, threads: int
) -> str | None:
    """Say what disturbed a timing; None where nothing did.

    The rule: others used more than BUSY_CORES cores, or the host kept more than STOLEN_CORES cores. Where
    others' use is not known, the load average before is taken less our own threads, since the processes
    of the protocol follow one another.
    """
    if stolen_cores is not None and stolen_cores > STOLEN_CORES:
        return f"the host of this virtual machine kept {stolen_cores:.2f} cores"
    if other_cores is None and load_average is not None:
        other_cores = load_average - threads
    if other_cores is not None and other_cores > BUSY_CORES:
        return f"other processes used {other_cores:.2f} cores"
    return None


def openmp_policy(environ: Mapping[str, str] = os.environ) -> str:
    """Return the environment variables that steer OpenMP, "default" where none is set."""
    named = {name: value for name, value in environ.items() if name.startswith(OPENMP_PREFIXES)}
    return " ".join(f"{name}={named[name]}" for name in sorted(named)) or "default"


def waits_passively(policy: str) -> bool:
    """Tell a policy under which idle threads sleep: it distorts the time of short calls."""
    return "OMP_WAIT_POLICY=PASSIVE" in policy.upper()


def conditions(device: "torch.device | str") -> dict[str, Any]:
    """Describe the machine before a timing, as JSON; what is not known is None."""
    import torch

    gpu, policy = _or_none(lambda: Gpu.of(device)), openmp_policy()
    return {
        "threads": torch.get_num_threads(),
        "openmp": policy,
        "waits_passively": waits_passively(policy),
        "load_average": os.getloadavg()[0],
        "clock_mhz": cpu_clock_mhz() if gpu is None else _or_none(gpu.clock_mhz),
        "governor": GOVERNOR.read_text().strip() if GOVERNOR.is_file() else None,
        "driver": None if gpu is None else _or_none(gpu.driver),
    }


def cpu_clock_mhz(cpuinfo: Path = Path("/proc/cpuinfo")) -> float | None:
    """Return the mean present clock of the CPU's cores; None where the system does not tell."""
    if not cpuinfo.is_file():
        return None
    lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("cpu MHz")]
    clocks = [float(line.partition(":")[2]) for line in lines]
    return sum(clocks) / len(clocks) if clocks else None


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except NoReadingError:
        return None
