"""Timing at the paper's sizes: shapes, FLOPs, and rows of a network narrow enough for a test."""

import math

import pytest
import torch

from biflow.model import ReverseModel
from biflow.paper_speed import executions, flops_per_image, random_network, specs, time_sampler
from biflow.presets import PRESETS
from nfbench.config import NarrowConfig, PaperSpeedConfig

CPU = torch.device("cpu")
NARROW = PaperSpeedConfig(
    experiment="narrow",
    sizes=["B/2"],
    samplers=["sequential-static", "biflow"],
    batch_sizes=[1],
    narrow=NarrowConfig(width=8, layers=1, head_dim=8),
    guidance=[0.0, 1.5],
    max_seconds=0.1,
    min_rounds=2,
)


def test_the_networks_are_the_presets_and_a_narrow_one_keeps_tokens_and_blocks():
    flow, reverse = specs(PaperSpeedConfig("x", ["XL/2"], [], []), "XL/2")
    preset = PRESETS["XL/2"]
    assert (flow.width, flow.layers_per_block) == (preset.flow.width, preset.flow.layers_per_block)
    assert (reverse.width, reverse.guidance_max) == (preset.reverse.width, 0.0)
    flow, reverse = specs(NARROW, "B/2")
    for spec in (flow, reverse):
        assert (spec.n_tokens, spec.token_dim, spec.blocks, spec.width) == (256, 16, 8, 8)
    assert (flow.layers_per_block, reverse.layers_per_group, reverse.guidance_max) == (1, 1, 1.5)


def test_guidance_doubles_an_exact_inverse_and_costs_a_learned_reverse_nothing():
    flow, reverse = specs(NARROW, "B/2")
    plain, guided = (flops_per_image("sequential", flow, reverse, w) for w in (0.0, 1.5))
    assert guided == 2 * plain
    assert flops_per_image("biflow", flow, reverse, 0.0) == flops_per_image("biflow", flow, reverse, 1.5)


@pytest.mark.parametrize("place", [0, 1])
def test_random_networks_have_no_map_of_zeros_and_give_finite_samples(place):
    network = random_network(specs(NARROW, "B/2")[place], CPU)
    linears = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    assert all(linear.weight.ne(0).all() for linear in linears)
    z = torch.randn(2, 256, 16, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([3, 999])
    out = network(z, y) if isinstance(network, ReverseModel) else network.encode(network.to_images(z), y).z
    assert out.isfinite().all()
    assert out.abs().max() < 100


def test_on_a_gpu_graphs_are_timed_and_the_learned_reverse_compiled_too():
    gpu = torch.device("cuda")
    assert list(executions("sequential", gpu, "auto")) == ["eager"]
    assert list(executions("sequential-static", gpu, "auto")) == ["CUDA graph"]
    assert list(executions("biflow", gpu, "auto")) == ["CUDA graph", "compiled, CUDA graph"]
    assert list(executions("biflow", gpu, "never")) == ["CUDA graph"]
    assert list(executions("biflow", CPU, "auto")) == ["eager"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_sampler_gives_a_row_for_every_batch_size_and_scale(precision):
    lines = []
    rows = time_sampler(NARROW, "B/2", "biflow", CPU, precision, matmul=1e9, report=lines.append)
    assert [(row["batch_size"], row["guidance"]) for row in rows] == [(1, 0.0), (1, 1.5)]
    assert len(lines) == 2
    for row in rows:
        assert (row["execution"], row["precision"], row["note"]) == ("eager", precision, None)
        flops = row["gflops_per_image"] * 1e9
        assert row["utilisation"] == pytest.approx(flops * row["images_per_second"] / 1e9)
        assert math.isfinite(row["params_millions"])
