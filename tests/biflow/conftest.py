"""A small flow and a reverse model with weights that do something, in float64."""

import pytest
import torch

from baselines import TarFlow, TarFlowSpec
from biflow import ReverseModel, ReverseSpec

SIZES = {"channels": 1, "image_size": 6, "patch_size": 2, "width": 16, "blocks": 3, "n_classes": 4}


@pytest.fixture
def flow():
    torch.manual_seed(0)
    flow = TarFlow(TarFlowSpec(**SIZES, layers_per_block=1, head_dim=8, sigma=0.1)).double()
    for block in flow.blocks:
        torch.nn.init.normal_(block.proj_out.weight, std=0.05)
    return flow.eval().requires_grad_(False)


@pytest.fixture
def model():
    torch.manual_seed(1)
    model = ReverseModel(ReverseSpec(**SIZES, layers_per_group=1, head_dim=8)).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture
def z():
    return torch.randn(5, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def y():
    return torch.tensor([0, 3, -1, 2, 1])
