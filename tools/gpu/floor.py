#!/usr/bin/env python
"""Compare an exact inverse's token and a reverse's evaluation with the least time that memory allows.

    python tools/gpu/floor.py config/paper-speed.yaml OUT.md

At a batch of one a step reads every weight once and computes next to nothing with it, so that it cannot take
less than the weights' bytes over the memory's bandwidth, or over the cache's where they stay in it. What is
above it are launches and small kernels, which are counted.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from baselines import make_sampler
from biflow.recipes import spec_of
from biflow.sizes import random_network
from nfbench.data.noise import balanced_labels, latent_noise
from nfbench.experiment import load_experiment
from nfbench.files import atomic_path
from nfbench.measure.speed.timer import warm_up
from nfbench.provenance import device_name
from nfbench.runtime import resolve_device

COPIED = {"cuda": 2**30, "cpu": 2**26}  # bytes
CASES = [("fp32", False), ("bf16", False), ("bf16", True)]  # precision, whether compiled


def bandwidth(device: torch.device) -> float:
    """Return the bytes a second that a large copy reads and writes."""
    source = torch.empty(COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * len(source) / warm_up(lambda: target.copy_(source), device, max_seconds=2).seconds


def kernels(call: Callable[[], Any], device: torch.device) -> int | None:
    """Return how many kernels and copies a call runs on a GPU, those of a CUDA graph included."""
    if device.type != "cuda":
        return None
    activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profiler:
        call()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profiler.events())


def weight_bytes(network: torch.nn.Module, precision: str) -> int:
    """Return the bytes of the weights of linear maps."""
    maps = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    return sum(module.weight.numel() for module in maps) * (2 if precision == "bf16" else 4)


Call = Callable[[], None]


def case(
    name: str, network: torch.nn.Module, precision: str, compile: bool, steps: int
) -> tuple[dict[str, Any], Call]:
    """Time a call of one image in equal steps; return microseconds and bytes of a step, and the call."""
    device = next(network.parameters()).device
    sampler = make_sampler(name, network, precision=precision, compile=compile).to(device)
    z = latent_noise(0, range(1), sampler.latent_shape).float().to(device)
    y = balanced_labels(range(1), sampler.n_classes).to(device)

    def call() -> None:
        sampler.sample(z, y)

    call()  # compiles and captures
    seconds = warm_up(call, device, max_seconds=3).seconds
    row = {"sampler": name, "precision": precision, "compiled": compile, "steps": steps}
    row |= {"us a step": 1e6 * seconds / steps, "kernels a step": None}
    return row | {"MB a step": weight_bytes(network, precision) / 1e6}, call


def main() -> None:
    """Write the table, anew after every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="an experiment with a flow and a reverse of its own shape")
    parser.add_argument("out", type=Path, help="the Markdown file to write")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu (default: auto)")
    options = parser.parse_args()
    device, experiment = resolve_device(options.device), load_experiment(options.config)
    flow, reverse = (next(iter(models.values())) for models in (experiment.flows, experiment.reverses))
    # One block of the flow: its tokens are solved before those of the next, which is alike.
    block = random_network(dataclasses.replace(spec_of(flow, None), blocks=1), device)
    model = random_network(spec_of(flow, None, reverse), device)
    networks = {"sequential-static": (block, block.spec.n_tokens - 1), "biflow": (model, 1)}
    rate, rows = bandwidth(device), []
    # A profiler slows what follows it, and a compiler's minutes must not cost what is known before.
    for cases in (CASES[:2], CASES[2:] if device.type == "cuda" else ()):
        calls = []
        for how in cases:
            for name, (network, steps) in networks.items():
                row, call = case(name, network, *how, steps)
                rows.append(row)
                calls.append((row, call))
                write(options.out, rows, rate, device)
        for row, call in calls:
            launched = kernels(call, device)
            row["kernels a step"] = launched and launched / row["steps"]
        write(options.out, rows, rate, device)


def write(path: Path, rows: list[dict[str, Any]], rate: float, device: torch.device) -> None:
    """Write the rows as a table, with the least time that the memory allows beside each."""
    table = pd.DataFrame(rows)
    table["least us"] = 1e12 * table["MB a step"] / rate
    table["share"] = table["least us"] / table["us a step"]
    text = (
        f"{device_name(device)}, torch {torch.__version__}; a large copy moves {rate / 1e9:.0f} GB/s.\n"
        "A step is a token of one block, or a reverse's one evaluation. Weights that stay in the cache may"
        " take less than the least time.\n\n"
        f"{table.to_markdown(index=False, floatfmt='.3g')}\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text)


if __name__ == "__main__":
    main()
