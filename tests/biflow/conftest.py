"""A small flow and reverse models with weights that do something, in float64."""

import pytest
import torch

from baselines import TarFlow, TarFlowSpec
from biflow import ReverseModel, ReverseSpec
from biflow.objectives import trajectory
from tests.biflow.toy import SIZES, W_MAX, quarters


@pytest.fixture
def flow():
    torch.manual_seed(0)
    flow = TarFlow(TarFlowSpec(**SIZES, layers_per_block=1, head_dim=8, sigma=0.1)).double()
    for block in flow.blocks:
        torch.nn.init.normal_(block.proj_out.weight, std=0.05)
    return flow.eval().requires_grad_(False)


@pytest.fixture
def build_model():
    """Return a function that builds a model of the small size, with the given changes of its spec."""

    def build(**changes):
        torch.manual_seed(1)
        model = ReverseModel(ReverseSpec(**SIZES | {"layers_per_stage": 1, "head_dim": 8} | changes)).double()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        if model.spec.normalisation != "none":
            torch.nn.init.uniform_(model.target_rms, 0.5, 2.0)
        return model.eval()

    return build


@pytest.fixture
def model(build_model):
    return build_model()


@pytest.fixture
def z():
    return torch.randn(5, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def y():
    return torch.tensor([0, 3, -1, 2, 1])


@pytest.fixture
def path(flow, y):
    x = torch.randn(5, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(4))
    return trajectory(flow, x, x + 0.1 * noise, y)


@pytest.fixture
def images():
    return quarters(64)


@pytest.fixture(params=["added", "in-context", "extrapolated"])
def guided(build_model, request):
    """A model that takes scales up to W_MAX."""
    return build_model(guidance_max=W_MAX, conditioning=request.param)


@pytest.fixture
def w():
    return torch.tensor([0.0, 0.5, 0.0, 2.0, 1.3], dtype=torch.float64)  # y[2] is -1
