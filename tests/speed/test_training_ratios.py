"""How much faster an experiment trains here than by the published step, both measured in the same run.

    pytest tests/speed/test_training_ratios.py --benchmark-only --device auto --benchmark-json=training.json
    python -m nfbench.measure.ratios training.json

One step of every contestant a round, as in test_inverse_ratios.py: `published` is the step restated plainly,
`adamw` ours with the same optimiser, `muon` ours as the experiment trains. Images are random: times do not
depend on them. In extra_info: images a second, and `utilisation`, the share of a step's time that the bare
products of a plain step, of the same shapes and precision, take alone in the same process.
"""

import itertools
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from baselines import TarFlow, TarFlowSpec
from baselines.tarflow.training import flow_spec, likelihood_loss
from biflow.recipes import RECIPES
from nfbench.compiling import compile_repeated
from nfbench.config import ForwardConfig, TrainingConfig, build
from nfbench.data.datasets import Dataset, Splits
from nfbench.device import resolve_precision
from nfbench.measure.work import seconds_of_products, work_of
from nfbench.train.batches import ResidentBatches
from nfbench.train.loop import Loss, Trainer

sys.path.insert(0, str(Path(__file__).parent))  # of the modules beside this one, which are in no package

from published_step import PublishedStep, flow_loss, negative_log_likelihood
from rounds import not_asked_for, time_in_rounds

CONFIG = Path(__file__).resolve().parents[2] / "config"
IMAGE_SIZES = {"fashion14": 14, "fashion": 28}  # pixels, by experiment
MODELS = ("flow", "biflow")
PAIRS = (("published", "adamw"), ("published", "muon"))
N_IMAGES = 2048


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one benchmark per experiment and model, or one skipped test."""
    axes = ("experiment", "trained")
    if not set(axes) <= set(metafunc.fixturenames):
        return
    if (reason := not_asked_for(metafunc.config, __file__)) is not None:
        cells = [pytest.param("all", "all", marks=pytest.mark.skip(reason=reason), id="all")]
    else:
        cells = [pytest.param(*cell, id="-".join(cell)) for cell in itertools.product(IMAGE_SIZES, MODELS)]
    metafunc.parametrize(axes, cells)


def random_splits(size: int) -> Splits:
    """Return images that mean nothing, (N, 1, size, size) in ten classes; every split is the same."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N_IMAGES, 1, size, size), dtype=np.uint8)
    data = Dataset("random", images, rng.integers(0, 10, N_IMAGES), tuple("0123456789"))
    return Splits(train=data, validation=data, test=data)


def our_step(
    model: nn.Module, loss: Loss, data: Dataset, config: TrainingConfig, device: torch.device, precision: str
) -> Callable[[], Any]:
    """Return one step of the training loop, compiled on a GPU as a long training is."""
    batches = ResidentBatches(data, config.batch_size, 0, device)
    trainer = Trainer(model.train(), loss, batches, config, seed=0, device=device, precision=precision)
    if device.type == "cuda":
        compile_repeated(model)
    return trainer.advance


class Case(NamedTuple):
    """What is trained: how a fresh model is made, and its losses and settings."""

    new: Callable[[], nn.Module]
    published_loss: Loss
    our_loss: Loss
    config: TrainingConfig
    data: Dataset
    n_tokens: int


def case_of(experiment: str, trained: str, device: torch.device) -> Case:
    """Return the training of an experiment's flow, or of a learned reverse beside a random one."""
    chosen = yaml.safe_load((CONFIG / f"{experiment}.yaml").read_text())
    splits, forward = random_splits(IMAGE_SIZES[experiment]), build(ForwardConfig, chosen["forward"])
    spec, data = flow_spec(forward, splits), splits.train
    torch.manual_seed(0)
    if trained == "flow":
        losses = flow_loss, likelihood_loss(forward.label_drop)
        return Case(lambda: TarFlow(spec).to(device), *losses, forward.training, data, spec.n_tokens)
    flow = TarFlow(spec).to(device).eval().requires_grad_(False)
    recipe = RECIPES[trained]
    reverse = build(recipe.config, chosen["reverse"][trained])
    loss = recipe.loss(reverse, flow)
    model = recipe.make(
        reverse, flow, data, 0
    )  # once: what its targets are divided by takes the flow longer than a step
    return Case(lambda: deepcopy(model), loss, loss, reverse.training, data, spec.n_tokens)


def test_training_steps(
    benchmark: Any, experiment: str, trained: str, device: str, pytestconfig: pytest.Config
):
    place, precision = torch.device(device), resolve_precision("auto", torch.device(device))
    case = case_of(experiment, trained, place)
    size = case.config.batch_size

    def published() -> PublishedStep:
        return PublishedStep(case.new(), case.published_loss, case.data, size, place, precision)

    work = work_of(published())
    bare = seconds_of_products(work.products, place)
    calls = {"published": published()}
    for optimizer in ("adamw", "muon"):
        changed = replace(case.config, optimizer=optimizer)
        calls[optimizer] = our_step(case.new(), case.our_loss, case.data, changed, place, precision)

    benchmark.group = f"a step of every contestant: {experiment}, {trained}"
    benchmark.extra_info.update(
        trained=f"{experiment}, {trained}",
        tokens=case.n_tokens,
        batch_size=size,
        guidance=0.0,
        precision=precision,
        flops_per_image=work.flops / size,
    )
    time_in_rounds(benchmark, calls, PAIRS, pytestconfig, device)
    medians = benchmark.extra_info["milliseconds"]
    benchmark.extra_info.update(
        images_per_second={name: 1e3 * size / median for name, median in medians.items()},
        utilisation={name: 1e3 * bare / median for name, median in medians.items()},
    )


def test_the_published_step_minimises_the_flow_s_own_loss():
    torch.manual_seed(0)
    spec = TarFlowSpec(1, 8, 2, width=32, blocks=2, layers_per_block=2, head_dim=16, n_classes=10, clip=3.0)
    flow = TarFlow(spec).double()
    for block in flow.blocks:
        nn.init.normal_(block.proj_out.weight, std=0.1)
    x, y = torch.randn(5, 1, 8, 8, dtype=torch.float64), torch.tensor([-1, 0, 3, 9, 9])
    torch.testing.assert_close(negative_log_likelihood(flow, x, y), flow.loss(flow.encode(x, y)))


def test_published_steps_lower_the_loss_of_the_images_they_train_on():
    torch.manual_seed(0)
    flow = TarFlow(TarFlowSpec(1, 14, 2, width=32, blocks=2, layers_per_block=1, head_dim=16, n_classes=10))
    data = random_splits(14).train
    step = PublishedStep(flow, flow_loss, data, 64, torch.device("cpu"), "fp32")

    @torch.no_grad()
    def loss() -> float:
        images, labels = torch.from_numpy(data.images[:256]), torch.from_numpy(data.labels[:256])
        return flow_loss(flow, images, labels, torch.Generator().manual_seed(1)).item()

    before = loss()
    for _ in range(30):
        step()
    assert loss() < before
