"""A small flow with weights that do something, in float64."""

import pytest
import torch

from baselines import TarFlow, TarFlowSpec

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
