"""Likelihoods of held-out images: the noise is the image's own, and the identity's are closed forms."""

import math

import numpy as np
import pytest
import torch

from baselines.tarflow.model import TarFlow, TarFlowSpec
from baselines.tarflow.training import held_out_bits, held_out_nll
from nfbench.data.datasets import Dataset
from nfbench.data.noise import uniform_noise
from nfbench.data.pixels import dequantise
from nfbench.measure.likelihood import noise_floor

MEASURES = [held_out_nll, held_out_bits]


@pytest.fixture(scope="module")
def flow() -> TarFlow:
    """Return a flow that is the identity: its output layers give zero."""
    spec = TarFlowSpec(
        channels=1,
        image_size=4,
        patch_size=2,
        width=8,
        blocks=2,
        layers_per_block=1,
        head_dim=4,
        n_classes=3,
        clip=None,
        sigma=0.3,
    )
    flow = TarFlow(spec).eval()
    for block in flow.blocks:
        torch.nn.init.zeros_(block.proj_out.bias)  # the weights start at zero
    return flow


@pytest.fixture(scope="module")
def data() -> Dataset:
    images = np.random.default_rng(0).integers(256, size=(7, 1, 4, 4), dtype=np.uint8)
    return Dataset("toy", images, np.arange(7, dtype=np.int64) % 3, ("a", "b", "c"))


def test_bits_of_the_identity_are_those_of_a_standard_normal(flow: TarFlow, data: Dataset):
    x = dequantise(data.images, uniform_noise(5, range(7), (1, 4, 4)))
    expected = ((0.5 * (x**2 + math.log(2 * math.pi))).flatten(1).mean(dim=1) + math.log(128)) / math.log(2)
    torch.testing.assert_close(held_out_bits(flow, data, seed=5), expected, rtol=1e-6, atol=1e-6)


def test_nll_of_the_identity_is_that_of_the_noisy_image(flow: TarFlow, data: Dataset):
    grey = Dataset("grey", np.full((4000, 1, 4, 4), 128, np.uint8), np.zeros(4000, np.int64), ("a", "b", "c"))
    clean = (128 / 127.5 - 1) ** 2
    expected = noise_floor(1.0) - 0.5 + 0.5 * (clean + flow.spec.sigma**2)
    assert held_out_nll(flow, grey).mean().item() == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("measure", MEASURES)
def test_noise_is_the_image_s_own_in_any_batch_and_another_in_each_draw(measure, flow, data: Dataset):
    whole = measure(flow, data)
    torch.testing.assert_close(measure(flow, data, batch_size=3), whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(measure(flow, data, seed=0), whole, rtol=0, atol=0)
    assert (measure(flow, data, seed=1) != whole).all()
