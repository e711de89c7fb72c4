"""Fast evaluation of the reverse model: bfloat16, compiled layers, a CUDA graph; near the plain one."""

import copy
import warnings

import pytest
import torch

from biflow import OneStep
from nfbench.errors import UserError
from nfbench.runtime import autocast

CPU = torch.device("cpu")
IMAGES = 0.2  # largest error of bfloat16 in images up to 3.3 with weights as large as these; measured, 0.03
FLOAT32 = 1e-4


@pytest.fixture
def single(build_model):
    """Return a model in float32 that takes scales of guidance."""
    return build_model(guidance_max=2.0).float()


def largest(one, other):
    return (one - other).abs().max().item()


def test_mixed_precision_keeps_the_residual_stream_and_the_heads_and_warns_of_nothing(single, z, y):
    seen = {}
    layer = single.stages[0].layers[0]
    watched = {"layer": layer, "qkv": layer.attention.qkv, "key": layer.attention.key_norm, "out": single.out}
    for name, module in watched.items():
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.dtype}))
    with warnings.catch_warnings(), autocast(CPU, "bf16"):
        warnings.simplefilter("error")
        single(z.float(), y)
    float32 = torch.float32
    assert seen == {"layer": float32, "qkv": torch.bfloat16, "key": float32, "out": float32}


@pytest.mark.parametrize("scale", [0.0, 1.5])
@pytest.mark.parametrize("evaluations", [1, 2])
def test_a_sampler_in_bfloat16_gives_what_autocast_gives_and_is_near_float32(
    single, z, y, scale, evaluations
):
    z = z.float()
    plain = OneStep(single, evaluations=evaluations)
    fast = OneStep(single, evaluations=evaluations, precision="bf16")
    exact, rounded = plain.sample(z, y, scale), fast.sample(z, y, scale)
    with autocast(CPU, "bf16"):
        by_autocast = plain.sample(z, y, scale)
    assert torch.equal(rounded.images, by_autocast.images)
    assert 0 < largest(exact.images, rounded.images) < IMAGES
    assert rounded.nfe == exact.nfe
    assert rounded.images.dtype == torch.float32
    assert fast.n_parameters == plain.n_parameters


def test_a_fast_sampler_leaves_its_model_alone_and_says_how_it_works(single):
    before = copy.deepcopy(single.state_dict())
    fast = OneStep(single, precision="bf16", compile=True)
    assert all(torch.equal(value, before[name]) for name, value in single.state_dict().items())
    assert fast.settings == {"evaluations": 1, "precision": "bf16", "compile": True}
    assert OneStep(single).settings == {"evaluations": 1}


def test_a_misspelt_precision_is_refused(single):
    with pytest.raises(UserError, match="'precision' of biflow is 'half'; it must be 'fp32' or 'bf16'"):
        OneStep(single, precision="half")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {}),
        ({"conditioning": "in-context"}, {}),
        ({"conditioning": "extrapolated"}, {}),
        ({}, {"evaluations": 2}),
        ({"projection": "bottleneck"}, {"evaluations": 2}),
    ],
    ids=str,
)
def test_the_graph_that_a_gpu_replays_gives_the_same_images(
    build_model, z, y, captured, monkeypatch, precision, changes, options
):
    monkeypatch.setattr("nfbench.runtime.CudaGraph", captured)
    trained = {} if "projection" in changes else {"guidance_max": 2.0}
    sampler = OneStep(build_model(**trained, **changes).float(), precision=precision, **options)
    z, w = z.float(), torch.linspace(0.0, 2.0, len(y))
    for given in ([z, y, w], [-z, y.flip(0), w.flip(0)], [z, y], [-z, y.flip(0)]):
        with torch.no_grad():
            tokens, count = sampler._evaluate.replayed(*given)
            expected, expected_count = sampler._evaluate.evaluated(*given)
        torch.testing.assert_close(tokens, expected, rtol=0, atol=FLOAT32)
        assert count == expected_count


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{}, {"compile": True}], ids=str)
def test_on_a_gpu_the_captured_evaluation_gives_the_same_images(single, z, y, options):
    gpu, z = torch.device("cuda"), z.float()
    plain = OneStep(copy.deepcopy(single))
    fast = OneStep(single, **options).to(gpu)
    for noise, labels, scale in [(z, y, 0.0), (-z, y.flip(0), 0.0), (z[:2], y[:2], 1.5), (z, y, 0.5)]:
        out = fast.sample(noise.to(gpu), labels.to(gpu), scale)
        expected = plain.sample(noise, labels, scale)
        torch.testing.assert_close(out.images.cpu(), expected.images, rtol=0, atol=FLOAT32)
        assert out.nfe == expected.nfe
