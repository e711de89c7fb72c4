"""Where a number comes from: commit, lock file, versions, device and driver, precision."""

import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the commit alone needs no torch, whose import takes seconds
    import torch

PACKAGES = ("torch", "torchvision", "numpy", "torch-fidelity", "pytest-benchmark", "snakemake")
REPOSITORY = Path(__file__).resolve().parents[1]


def _git(*arguments: str) -> str | None:
    """Return git's answer about this repository, or None where it is no git checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


@cache
def commit() -> str | None:
    """Return the commit of this source tree, with "+dirty" where tracked files differ.

    Kept results do not count: a run that renews them does not make the next one dirty. A copy that came
    without its history is told its commit by the environment variable NFBENCH_COMMIT.
    """
    top = _git("rev-parse", "--show-toplevel")
    if top is None and (given := os.environ.get("NFBENCH_COMMIT")):
        return given
    if top is None or Path(top).resolve() != REPOSITORY:
        return None  # installed inside some other project's checkout
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return f"{_git('rev-parse', '--short=12', 'HEAD')}{'+dirty' if changed else ''}"


def device_name(device: "str | torch.device") -> str:
    """Return what the device is called, e.g. "NVIDIA H100 80GB HBM3" or the CPU's model name."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def lock_hash() -> str | None:
    """Return a short hash of requirements.lock, or None where it does not lie beside the package."""
    lock = REPOSITORY / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:12] if lock.is_file() else None


def driver() -> str | None:
    """Return the version line of the NVIDIA driver, None where there is none."""
    path = Path("/proc/driver/nvidia/version")
    return path.read_text().splitlines()[0].partition(":")[2].strip() if path.is_file() else None


def provenance(device: "str | torch.device" = "cpu", precision: str = "fp32") -> dict[str, Any]:
    """Describe what computes: to be stored beside every number it makes."""
    import torch

    return {
        "commit": commit(),
        "lock": lock_hash(),
        "device": device_name(device),
        "device_type": torch.device(device).type,
        "threads": torch.get_num_threads(),
        "precision": precision,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "cuda": torch.version.cuda if torch.device(device).type == "cuda" else None,
        "driver": driver() if torch.device(device).type == "cuda" else None,
    }


def config_hash(section: Any) -> str:
    """Return a short hash of a JSON-able piece of configuration."""
    return hashlib.sha256(json.dumps(section, sort_keys=True).encode()).hexdigest()[:12]
