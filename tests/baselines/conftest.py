"""A small flow with weights that do something, in float64."""

import os

import numpy as np
import pytest
import torch

from baselines import TarFlow, TarFlowSpec, make_sampler
from baselines.tarflow.plan import BlockPlan

SPEC = TarFlowSpec(
    channels=2,
    image_size=6,
    patch_size=2,
    width=16,
    blocks=3,
    layers_per_block=2,
    head_dim=8,
    n_classes=4,
    sigma=0.1,
)


def randomised(spec: TarFlowSpec, seed: int = 0) -> TarFlow:
    """Return a flow whose output layers are not zero, so that it is far from the identity."""
    torch.manual_seed(seed)
    flow = TarFlow(spec).double()
    for block in flow.blocks:
        torch.nn.init.normal_(block.proj_out.weight, std=0.05)
        torch.nn.init.normal_(block.proj_out.bias, std=0.1)
        torch.nn.init.normal_(block.pos_embed, std=0.5)
        if block.class_embed is not None:
            torch.nn.init.normal_(block.class_embed, std=0.5)
    return flow.eval().requires_grad_(False)


@pytest.fixture
def make_flow():
    """Return a function that makes a flow with some fields of the specification changed."""
    from dataclasses import replace

    return lambda **changes: randomised(replace(SPEC, **changes))


@pytest.fixture
def flow(make_flow):
    return make_flow()


@pytest.fixture
def x():
    return torch.randn(5, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def y():
    return torch.tensor([0, 3, -1, 2, 1])


@pytest.fixture
def z():
    """Return noise for the flows of `make_flow`, five images."""
    return torch.randn(5, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


GUIDED = {
    "unguided": ({}, 0.0),
    "ab": ({"guide": "ab"}, 1.5),
    "a": ({"guide": "a"}, 1.5),
    "b": ({"guide": "b"}, 1.5),
    "annealed, with a temperature": ({"annealed": True, "attention_temperature": 0.7}, 1.5),
}


@pytest.fixture(params=GUIDED.values(), ids=GUIDED)
def guided(request):
    """Return the sampler's options and the scale of every kind of guidance in turn."""
    return request.param


CUT = [BlockPlan(3), BlockPlan(3, "zeros"), BlockPlan(3)]
MIXED = [BlockPlan(9), BlockPlan(1, "zeros"), BlockPlan(3)]
FIXED_POINT = {
    "jacobi from z": ("jacobi", {"init": "z"}),
    "jacobi from zeros": ("jacobi", {"init": "zeros"}),
    "gs-jacobi whole": ("gs-jacobi", {"plan": [BlockPlan(1)] * 3}),
    "gs-jacobi cut": ("gs-jacobi", {"plan": CUT}),
    "gs-jacobi mixed": ("gs-jacobi", {"plan": MIXED}),
    "selective-jacobi": ("selective-jacobi", {}),
}


@pytest.fixture(params=FIXED_POINT.values(), ids=FIXED_POINT)
def make(request):
    """Return a function from a flow of three blocks and options to every fixed-point inverse in turn."""
    name, own = request.param
    return lambda flow, **options: make_sampler(name, flow, **{**own, **options})


@pytest.fixture(scope="session")
def published():
    """Return what the published code gave on a tiny model, by name."""
    variable = "NFBENCH_PARITY_FIXTURE"
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} does not name the file with the published code's numbers")
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def numbers(published):
    """Return a function from a name to the published code's tensor of that name."""
    return lambda name: torch.from_numpy(published[name])


@pytest.fixture
def state(published):
    """Return the tiny model's weights in the published layout."""
    return {
        name.removeprefix("state/"): torch.from_numpy(value)
        for name, value in published.items()
        if name.startswith("state/")
    }
