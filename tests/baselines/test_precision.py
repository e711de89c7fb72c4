"""Mixed precision of the flow: matmuls in bfloat16, and nothing that exp or a log-determinant would show."""

import copy

import pytest
import torch

from baselines import make_sampler
from baselines.farmer import FarmerStudent
from nfbench.errors import UserError
from nfbench.runtime import autocast

CPU = torch.device("cpu")
# Largest errors of bfloat16 against float32, with the values that they are errors of; then as measured.
PREDICTION = 0.01  # log-scales and shifts up to 0.72: 0.0023
LOGDET = 0.002  # up to 0.07, a mean over all tokens: 0.0002
NOISE = 0.03  # of unit variance, after three blocks: 0.007
IMAGES = 0.05  # of an inverse, in [-1, 1] units, errors of earlier tokens and blocks included: 0.01


@pytest.fixture
def single(make_flow):
    """Return a flow in float32."""
    return make_flow().float()


def mixed(call, device=CPU):
    with autocast(device, "bf16"):
        return call()


def largest(one, other):
    return (one - other).abs().max().item()


def test_log_scales_and_shifts_are_near_and_not_rounded_to_bfloat16(single, z, y):
    z = z.float()
    exact, rounded = single.blocks[0].affine(z, y), mixed(lambda: single.blocks[0].affine(z, y))
    for one, other in zip(exact, rounded, strict=True):
        assert other.dtype == torch.float32
        assert not torch.equal(other, other.bfloat16().float())
        assert 0 < largest(one, other) < PREDICTION


def test_noise_and_log_determinant_are_near_and_of_full_precision(single, x, y):
    x = x.float()
    exact, rounded = single.encode(x, y), mixed(lambda: single.encode(x, y))
    assert rounded.z.dtype == rounded.logdet.dtype == torch.float32
    assert 0 < largest(exact.z, rounded.z) < NOISE
    assert 0 < largest(exact.logdet, rounded.logdet) < LOGDET


def test_a_student_is_near_too(single, z, y):
    student = FarmerStudent.of(single)
    exact, rounded = student(z.float(), y), mixed(lambda: student(z.float(), y))
    assert rounded.dtype == torch.float32
    assert 0 < largest(exact, rounded) < IMAGES


def test_the_residual_stream_keeps_its_precision_and_matmuls_do_not(single, z, y):
    seen = {}
    layer = single.blocks[0].attn_blocks[0]
    for name, module in {"layer": layer, "qkv": layer.attention.qkv, "mlp": layer.mlp}.items():
        module.register_forward_hook(
            lambda _, __, out, name=name: seen.update({name: (out[0] if name == "layer" else out).dtype})
        )
    mixed(lambda: single.blocks[0].affine(z.float(), y))
    assert seen == {"layer": torch.float32, "qkv": torch.bfloat16, "mlp": torch.bfloat16}


@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_the_fast_inverse_in_bfloat16_is_near_itself(single, z, y, scale):
    z = z.float()
    exact = make_sampler("sequential-static", single).sample(z, y, scale)
    sampler = make_sampler("sequential-static", single, precision="bf16")
    rounded = sampler.sample(z, y, scale)
    assert sampler.settings["precision"] == "bf16"
    assert 0 < largest(exact.images, rounded.images) < IMAGES
    assert rounded.nfe == exact.nfe


def test_a_misspelt_precision_is_refused(single):
    with pytest.raises(UserError, match="the option 'precision' of 'sequential-static' is 'fp16'"):
        make_sampler("sequential-static", single, precision="fp16")


@pytest.mark.gpu
def test_on_a_gpu_mixed_precision_is_as_near(single, x, y):
    gpu, exact = torch.device("cuda"), single.encode(x.float(), y)
    flow = copy.deepcopy(single).to(gpu)
    rounded = mixed(lambda: flow.encode(x.float().to(gpu), y.to(gpu)), gpu)
    assert rounded.z.dtype == rounded.logdet.dtype == torch.float32
    assert 0 < largest(exact.z, rounded.z.cpu()) < NOISE
    assert 0 < largest(exact.logdet, rounded.logdet.cpu()) < LOGDET
