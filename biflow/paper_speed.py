"""The samplers at the paper's sizes (`biflow.presets`), with random weights, for timing."""

import dataclasses
import itertools
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import torch
from torch import nn

from baselines import make_sampler
from baselines.tarflow.flops import inverse_flops
from baselines.tarflow.model import TarFlow, TarFlowSpec
from biflow.model import ReverseModel, ReverseSpec
from biflow.presets import PRESETS
from biflow.sizes import reverse_size
from nfbench.config import PaperSpeedConfig
from nfbench.data.noise import balanced_labels, latent_noise
from nfbench.device import autocast
from nfbench.measure.cells import time_cell
from nfbench.sample.sampler import Sampler, entry

REPORTED = ("execution", "batch_size", "guidance", "seconds_per_image", "utilisation", "note")
CLIP = 3.0  # norm control; its value is no matter of time


def specs(config: PaperSpeedConfig, size: str) -> tuple[TarFlowSpec, ReverseSpec]:
    """Return the architectures of a named size, narrowed where the experiment asks for it.

    The reverse model takes guidance scales where some are timed.
    """
    preset = PRESETS[size]
    changed: dict[str, Any] = {}
    depth: int | None = None
    if config.narrow is not None:
        changed = {"width": config.narrow.width, "head_dim": config.narrow.head_dim}
        depth = config.narrow.layers
    flow = dataclasses.replace(
        preset.flow, **changed, clip=CLIP, layers_per_block=depth or preset.flow.layers_per_block
    )
    reverse = dataclasses.replace(
        preset.reverse,
        **changed,
        guidance_max=max(config.guidance),
        layers_per_group=depth or preset.reverse.layers_per_group,
    )
    return flow, reverse


def random_network(spec: TarFlowSpec | ReverseSpec, device: torch.device) -> TarFlow | ReverseModel:
    """Return a network whose weights are all random, none zero, in evaluation mode.

    Products with a matrix of zeros draw less power, and a GPU may run them at a higher clock. The maps that
    log-scales are read off stay small, so that samples are finite.
    """
    torch.manual_seed(0)
    with torch.device(device):
        network = TarFlow(spec) if isinstance(spec, TarFlowSpec) else ReverseModel(spec)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
    if isinstance(network, TarFlow):
        for block in network.blocks:
            nn.init.normal_(block.proj_out.weight, std=1e-3)
    return network.eval().requires_grad_(False)


def executions(sampler: str, device: torch.device, compile: str) -> dict[str, dict[str, Any]]:
    """Return the ways in which a sampler's kernels are launched, by name, with the options for each."""
    if device.type != "cuda" or sampler == "sequential":
        return {"eager": {}}
    ways: dict[str, dict[str, Any]] = {"CUDA graph": {}}
    if entry(sampler).learned and compile == "auto":
        ways["compiled, CUDA graph"] = {"compile": True}
    return ways


def flops_per_image(sampler: str, flow: TarFlowSpec, reverse: ReverseSpec, guidance: float) -> int:
    """Return the FLOPs of one image; a learned reverse is guided in one evaluation."""
    if entry(sampler).learned:
        return _pass_flops(reverse)
    return _inverse_flops(flow) * (2 if guidance else 1)


_inverse_flops = cache(inverse_flops)  # counting takes seconds


@cache
def _pass_flops(spec: ReverseSpec) -> int:
    return reverse_size(spec).pass_flops


def make(sampler: str, network: nn.Module, precision: str, options: dict[str, Any]) -> Sampler:
    """Return a sampler in the precision; the plain inverse takes it from `autocast`, as it was published."""
    if sampler != "sequential":
        options = options | {"precision": precision}
    return make_sampler(sampler, network, **options)


def call_of(
    sampler: str, made: Sampler, precision: str, device: torch.device, batch_size: int, guidance: float
) -> Callable[[], Any]:
    """Return a function that draws a batch."""
    z = latent_noise(0, range(batch_size), made.latent_shape).float().to(device)
    y = balanced_labels(range(batch_size), made.n_classes).to(device)

    def call() -> Any:
        with autocast(device, precision) if sampler == "sequential" else nullcontext():
            return made.sample(z, y, guidance)

    return call


def time_sampler(
    config: PaperSpeedConfig,
    size: str,
    sampler: str,
    device: torch.device,
    precision: str,
    matmul: float,
    report: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Time a sampler at every batch size and scale of guidance; return a row for each.

    Args:
        matmul: what the device can do, FLOPs a second, see `nfbench.measure.cells`; the unit of utilisation.
    """
    flow, reverse = specs(config, size)
    spec = reverse if entry(sampler).learned else flow
    network, rows = random_network(spec, device), []
    ways = executions(sampler, device, config.compile).items()
    limits = {"max_seconds": config.max_seconds, "min_rounds": config.min_rounds}
    for (execution, options), n, w in itertools.product(ways, config.batch_sizes, config.guidance):
        torch.compiler.reset()  # or shapes would add up to more than it compiles for
        made = make(sampler, network, precision, options).to(device)
        cell = time_cell(call_of(sampler, made, precision, device, n, w), n, device, **limits)
        flops, rate = flops_per_image(sampler, flow, reverse, w), cell["images_per_second"]
        row = {
            **{"size": size, "width": spec.width, "sampler": sampler, "execution": execution},
            **{"batch_size": n, "guidance": w, "precision": precision},
            **{"params_millions": made.n_parameters / 1e6, "gflops_per_image": flops / 1e9},
            "utilisation": None if rate is None else rate * flops / matmul,
        }
        rows.append(row | cell)
        report(", ".join(f"{key} {rows[-1][key]}" for key in REPORTED))
    return rows
