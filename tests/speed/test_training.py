"""How much faster an experiment trains here than by the published step, both timed in the same process.

    pytest tests/speed/test_training.py --benchmark-only

Every recipe makes one step a round, in an order drawn for that round, since the speed of a shared machine
drifts: `published` is the step restated plainly, `adamw` ours with the same optimiser, `muon` ours as the
experiment trains. Images are random; times do not depend on them. Ratios, images a second and utilisation (of
the FLOPs of a plain step) are in the notes (`extra_info`) of pytest-benchmark's JSON.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from build import not_asked_for, settings
from published_step import PublishedStep, flow_loss, negative_log_likelihood
from torch import nn

from baselines.tarflow.model import TarFlow, TarFlowSpec
from baselines.tarflow.training import likelihood_loss, spec_for
from biflow.recipes import RECIPES
from nfbench.config import TrainingConfig
from nfbench.data.datasets import Dataset
from nfbench.experiment import load_experiment
from nfbench.measure.speed.flops import count_flops
from nfbench.measure.speed.machine import is_busy, watch_load
from nfbench.measure.speed.timer import matmul_flops_per_second, n_calls, timed, warm_up
from nfbench.runtime import Runtime, compile_repeated
from nfbench.train.trainer import Loss, ResidentBatches, Trainer

CONFIG = Path(__file__).resolve().parents[2] / "config"
IMAGE_SIZES = {"fashion14": 14, "fashion": 28}  # pixels, by experiment
N_IMAGES = 2048


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one benchmark per experiment and model."""
    if "trained" in metafunc.fixturenames:
        skipped = not_asked_for(metafunc.config)
        cells = [(name, model) for name in IMAGE_SIZES for model in ("flow", "biflow")]
        metafunc.parametrize("trained", [skipped] if skipped else cells, ids=None if skipped else "-".join)


def random_images(size: int) -> Dataset:
    """Return images that mean nothing, (N, 1, size, size) in ten classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N_IMAGES, 1, size, size), dtype=np.uint8)
    return Dataset("random", images, rng.integers(0, 10, N_IMAGES), tuple("0123456789"))


class Case(NamedTuple):
    """What is trained: how a fresh model is made, its losses, settings and images, and the frozen flow."""

    new: Callable[[], nn.Module]
    published_loss: Loss
    our_loss: Loss
    config: TrainingConfig
    data: Dataset
    frozen: nn.Module | None = None


def case_of(name: str, trained: str, device: torch.device) -> Case:
    """Return the training of an experiment's flow, or of its reverse beside a random flow."""
    experiment, data = load_experiment(CONFIG / f"{name}.yaml"), random_images(IMAGE_SIZES[name])
    config = experiment.flows["flow"]
    spec = spec_for(config, 1, IMAGE_SIZES[name], 10)
    torch.manual_seed(0)
    if trained == "flow":
        losses = flow_loss, likelihood_loss(config.class_dropout_prob)
        return Case(lambda: TarFlow(spec).to(device), *losses, config.training, data)
    flow = TarFlow(spec).to(device).eval().requires_grad_(False)
    reverse = experiment.reverses[trained]
    recipe = RECIPES[reverse.objective]
    loss, model = recipe.loss(reverse, flow), recipe.make(reverse, flow, data, 0)
    ours = deepcopy(flow)
    our_loss = recipe.loss(reverse, ours)
    return Case(lambda: deepcopy(model), loss, our_loss, reverse.training, data, ours)


def steps_of(case: Case, runtime: Runtime) -> dict[str, Callable[[], Any]]:
    """Return one step of every recipe; ours are compiled on a GPU, as in a long training."""
    published = case.new(), case.published_loss, case.data, case.config.batch_size
    steps = {"published": PublishedStep(*published, runtime.device, runtime.precision)}
    for optimizer in ("adamw", "muon"):
        config = case.config.model_copy(update={"optimizer": optimizer})
        batches = ResidentBatches(case.data, config.batch_size, 0, runtime.device)
        model = case.new().train()
        trainer = Trainer(model, case.our_loss, batches, config, seed=0, runtime=runtime)
        for network in filter(None, (model, case.frozen) if runtime.device.type == "cuda" else ()):
            compile_repeated(network)
        steps[optimizer] = trainer.advance
    return steps


def interleaved(
    calls: Mapping[str, Callable[[], Any]],
) -> tuple[Callable[[], None], dict[str, list[float]]]:
    """Return a function that makes every call once in a random order, and the seconds that it fills in."""
    rng, seconds = random.Random(0), {name: [] for name in calls}

    def one_round() -> None:
        for name in rng.sample(list(calls), len(calls)):
            before = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - before)

    return one_round, seconds


def test_training_steps(benchmark: Any, trained: tuple[str, str], pytestconfig: pytest.Config):
    chosen = settings(pytestconfig)
    precision = (chosen["precisions"] or ["auto"])[0]
    runtime = Runtime.resolve(chosen["device"], precision)
    case = case_of(*trained, runtime.device)
    calls = {name: timed(step, runtime.device) for name, step in steps_of(case, runtime).items()}
    for call in calls.values():  # what compiles is no part of the warm-up
        call()
        call()
    warm = [warm_up(call, runtime.device, max_seconds=5 * chosen["seconds"]) for call in calls.values()]
    one_round, seconds = interleaved(calls)
    rounds = n_calls(sum(each.seconds for each in warm), chosen["seconds"], chosen["min_calls"])
    with watch_load() as load:
        benchmark.pedantic(one_round, rounds=rounds, iterations=1)
    ratios = {
        name: statistics.median(a / b for a, b in zip(seconds["published"], seconds[name], strict=True))
        for name in ("adamw", "muon")
    }
    size = case.config.batch_size
    rates = {name: size / statistics.median(each) for name, each in seconds.items()}
    flops = count_flops(calls["published"]) / size
    peak = matmul_flops_per_second(runtime.device, runtime.precision, max_seconds=2)
    benchmark.extra_info.update(
        published_over_ours=ratios,
        images_per_second=rates,
        flops_per_image=flops,
        utilisation={name: rate * flops / peak for name, rate in rates.items()},
        device=str(runtime.device),
        precision=runtime.precision,
        busy=is_busy(load.other_cores, load.stolen_cores),
        stable=all(each.stable for each in warm),
    )
    assert all(ratio > 0 for ratio in ratios.values())


def test_the_published_step_minimises_the_flow_s_own_loss():
    torch.manual_seed(0)
    spec = TarFlowSpec(1, 8, 2, width=32, blocks=2, layers_per_block=2, head_dim=16, n_classes=10, clip=3.0)
    flow = TarFlow(spec).double()
    for block in flow.blocks:
        nn.init.normal_(block.proj_out.weight, std=0.1)
    x, y = torch.randn(5, 1, 8, 8, dtype=torch.float64), torch.tensor([-1, 0, 3, 9, 9])
    torch.testing.assert_close(negative_log_likelihood(flow, x, y), flow.loss(flow.encode(x, y)))
