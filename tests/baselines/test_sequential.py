"""The exact inverses and the denoising step."""

import pytest
import torch

from baselines import make_sampler
from baselines.tarflow.cost import Count
from baselines.tarflow.denoise import denoise
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.sequential import Sequential
from nfbench.errors import UserError
from nfbench.measure.speed.flops import count_flops
from nfbench.sample.sample_set import draw

EXACT = pytest.mark.parametrize("name", ["sequential", "sequential-static", "published-loop"])
VARIANTS = pytest.mark.parametrize(
    "changes", [{}, {"clip": 0.3}, {"n_classes": None}, {"volume_preserving": True}], ids=str
)


@EXACT
@VARIANTS
def test_inverse_undoes_forward(make_flow, x, y, name, changes):
    flow = make_flow(**changes)
    flow.var.fill_(0.7)
    z = flow.encode(x, y).z / flow.var.sqrt()
    images = make_sampler(name, flow).sample(z, y).images
    torch.testing.assert_close(images, x, rtol=0, atol=1e-12)


def test_every_state_of_decoding_is_that_of_encoding(flow, x, y):
    code = flow.encode(x, y)
    states, _ = Sequential(flow).invert(code.z, y, Guidance(), Count())
    for back, there in zip(states[1:], code.states, strict=False):
        torch.testing.assert_close(back, there, rtol=0, atol=1e-12)
    assert len(states) == len(flow.blocks)


def test_cached_prediction_equals_uncached(flow, x, y):
    block = flow.blocks[1]
    u = torch.randn(5, 9, 8, dtype=torch.float64)
    a, m, _ = block.predict(u, y)
    past = None
    for i in range(u.shape[1]):
        a_i, m_i, past = block.predict(u[:, i : i + 1], y, past)
        torch.testing.assert_close(a_i[:, 0], a[:, i], rtol=0, atol=1e-12)
        torch.testing.assert_close(m_i[:, 0], m[:, i], rtol=0, atol=1e-12)


def test_guidance_zero_is_no_guidance_and_scale_matters(flow, x, y):
    z = flow.encode(x, y).z
    plain = make_sampler("sequential", flow).sample(z, y)
    options = {"annealed": True, "attention_temperature": 0.7}
    unguided = make_sampler("sequential", flow, **options).sample(z, y, 0.0)
    guided = make_sampler("sequential", flow, **options).sample(z, y, 1.5)
    assert torch.equal(plain.images, unguided.images)
    assert (guided.images - plain.images).abs().max() > 1e-3


def test_guidance_towards_no_label_changes_nothing(flow, x):
    z = flow.encode(x, None).z
    sampler = make_sampler("sequential", flow)
    torch.testing.assert_close(
        sampler.sample(z, None, 2.0).images, sampler.sample(z, None).images, rtol=0, atol=1e-12
    )


@EXACT
def test_evaluations_are_counted(flow, z, y, name):
    sampler, steps = make_sampler(name, flow), flow.spec.n_tokens - 1
    out, guided = sampler.sample(z, y), sampler.sample(z, y, 1.5)
    assert (out.nfe, out.token_steps, out.score_evaluations, out.iterations) == (steps, 3 * steps, 0, None)
    assert (guided.nfe, guided.token_steps) == (2 * steps, 6 * steps)
    assert make_sampler(f"{name}+denoise", flow).sample(z, y).score_evaluations == 1


@VARIANTS
@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_the_published_loop_gives_the_same_images(make_flow, z, y, changes, scale):
    flow = make_flow(**changes)
    expected = make_sampler("sequential", flow).sample(z, y, scale).images
    images = make_sampler("published-loop", flow).sample(z, y, scale).images
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-12)


@EXACT
def test_flops_are_those_that_pytorch_counts_while_it_samples(flow, z, y, name):
    sampler = make_sampler(name, flow)
    plain, guided = (count_flops(lambda w=w: sampler.sample(z[:1], y[:1], w)) for w in (0.0, 1.5))
    spec, steps = flow.spec, flow.spec.blocks * (flow.spec.n_tokens - 1)
    # Both passes of sequential-static share the embedding of a token, which the formula counts twice.
    shared = steps * 2 * spec.token_dim * spec.width if name == "sequential-static" else 0
    assert sampler.flops_per_image() == plain
    assert sampler.flops_per_image(1.5) == guided + shared
    denoised = make_sampler(f"{name}+denoise", flow)
    assert denoised.flops_per_image() == count_flops(lambda: denoised.sample(z[:1], y[:1]))


@pytest.mark.parametrize("name", ["jacobi", "gs-jacobi", "selective-jacobi"])
def test_flops_of_iterative_inverses_depend_on_the_data(flow, name):
    assert make_sampler(name, flow).flops_per_image() is None
    assert make_sampler(f"{name}+denoise", flow).flops_per_image(1.0) is None


@EXACT
def test_arguments_are_never_mutated(flow, z, y, name):
    sampler = make_sampler(f"{name}+denoise", flow)
    for size in (1, 5):  # of one image a transposed tensor is contiguous already
        noise, labels = z[:size].clone(), y[:size].clone()
        sampler.sample(noise, labels, 1.5)
        assert torch.equal(noise, z[:size])
        assert torch.equal(labels, y[:size])


@pytest.mark.parametrize("name", ["sequential", "sequential+denoise"])
def test_image_i_is_the_same_at_any_batch_size(flow, name):
    sampler = make_sampler(name, flow)
    cpu = torch.device("cpu")
    options = {"seed": 3, "n": 7, "device": cpu, "dtype": torch.float64}
    one_by_one = draw(sampler, batch_size=1, **options)
    at_once = draw(sampler, batch_size=7, **options)
    assert (one_by_one.labels == at_once.labels).all()
    torch.testing.assert_close(
        torch.from_numpy(one_by_one.images), torch.from_numpy(at_once.images), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("name", ["sequential", "sequential+denoise"])
def test_in_float32_image_i_is_the_same_to_1e_4(flow, name):
    sampler = make_sampler(name, flow.float())
    options = {"seed": 3, "n": 7, "device": torch.device("cpu")}
    one_by_one, at_once = (draw(sampler, batch_size=size, **options).images for size in (1, 7))
    torch.testing.assert_close(torch.from_numpy(one_by_one), torch.from_numpy(at_once), rtol=0, atol=1e-4)


def test_denoising_follows_the_gradient_of_the_log_density(flow, x, y):
    moved = denoise(flow, x[:1], y[:1], strength=0.5)
    size = x[0].numel()

    def log_density(image):
        code = flow.encode(image, y[:1])
        return (-0.5 * code.z.square().sum() + size * code.logdet[0]).item()

    step = 1e-5
    for place in [(0, 0, 0), (1, 3, 2), (0, 5, 5)]:
        ahead, behind = x[:1].clone(), x[:1].clone()
        ahead[0][place] += step
        behind[0][place] -= step
        slope = (log_density(ahead) - log_density(behind)) / (2 * step)
        expected = x[0][place] + 0.5 * flow.spec.sigma**2 * slope
        assert moved[0][place].item() == pytest.approx(expected.item(), abs=1e-8)


def test_denoising_under_no_grad_leaves_no_graph(flow, x, y):
    with torch.no_grad():
        moved = denoise(flow, x, y)
    assert not moved.requires_grad
    assert all(p.grad is None for p in flow.parameters())


@pytest.mark.parametrize(
    ("options", "option"),
    [({"guide": "c"}, "guide"), ({"attention_temperature": 0.0}, "attention_temperature")],
)
def test_a_bad_option_is_told_when_the_sampler_is_made(flow, options, option):
    with pytest.raises(UserError, match=f"option '{option}'"):
        make_sampler("sequential", flow, **options)
