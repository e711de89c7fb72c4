"""When the fixed-point inverses stop, image by image, and what that costs."""

import pytest
import torch

from baselines import make_sampler
from baselines.tarflow.cost import Count
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.plan import BlockPlan

T = 9  # tokens of an image; the flow has three blocks
LABELS = torch.tensor([0, 3, -1, 2, 1, 0, 2])


@torch.inference_mode()
def images_and_iterations(sampler, z, y=None, scale=0.0):
    """Return every image's tokens and its iterations over every block, (B, T, D) and (K, B)."""
    states, iterations = sampler.invert(z, y, Guidance(scale, **sampler.guidance_options), Count())
    return states[0], torch.stack(iterations)


def unlike_noise(n):
    """Return noise of n images that take different numbers of iterations."""
    z = torch.randn(n, T, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    return z * torch.logspace(-1, 0.25, n, dtype=z.dtype)[:, None, None]


def assert_equal(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1.5])
@pytest.mark.parametrize("check_every", [1, 3])
def test_an_image_and_its_iterations_do_not_depend_on_the_batch(flow, make, scale, check_every):
    z, y = unlike_noise(7), LABELS
    sampler = make(flow, tolerance=0.1, check_every=check_every)
    at_once, iterations = images_and_iterations(sampler, z, y, scale)
    alone = [images_and_iterations(sampler, z[i : i + 1], y[i : i + 1], scale) for i in range(7)]
    assert at_once.isfinite().all()
    assert_equal(at_once, torch.cat([image for image, _ in alone]))
    assert torch.equal(iterations, torch.cat([own for _, own in alone], dim=1))
    assert max(len(block.unique()) for block in iterations) > 1


def test_an_image_that_is_not_finite_spoils_no_other(flow, z, y, make):
    spoilt = z.clone()
    spoilt[1] = torch.nan
    sampler = make(flow, tolerance=0.1)
    expected, iterations = images_and_iterations(sampler, z, y, 1.5)
    x, spoilt_iterations = images_and_iterations(sampler, spoilt, y, 1.5)
    others = [0, 2, 3, 4]
    assert not x[1].isfinite().any()
    assert_equal(x[others], expected[others])
    assert torch.equal(spoilt_iterations[:, others], iterations[:, others])
    assert (spoilt_iterations[:, 1] == T - 1).all()  # it never converges


def test_batch_wide_stopping_waits_for_the_slowest_image(flow, make):
    z = unlike_noise(7)
    sampler = make(flow, tolerance=0.1, batch_wide=True)
    at_once, iterations = images_and_iterations(sampler, z)
    alone = [images_and_iterations(sampler, z[i : i + 1]) for i in range(7)]
    own_iterations = torch.cat([own for _, own in alone], dim=1)
    assert (iterations == iterations[:, :1]).all()
    assert (iterations >= own_iterations).all()
    assert (iterations > own_iterations).any()
    assert (at_once - torch.cat([image for image, _ in alone])).abs().max() > 1e-9


@pytest.mark.parametrize("batch_wide", [False, True])
def test_looking_less_often_changes_no_image_and_no_iteration(flow, make, batch_wide):
    z = unlike_noise(7)
    options = {"tolerance": 0.1, "batch_wide": batch_wide}
    expected, iterations = images_and_iterations(make(flow, check_every=1, **options), z, LABELS, 1.5)
    for check_every in (2, 4, 100):
        sampler = make(flow, check_every=check_every, **options)
        x, own_iterations = images_and_iterations(sampler, z, LABELS, 1.5)
        assert_equal(x, expected)
        assert torch.equal(own_iterations, iterations)


# Tokens evaluated on an image of one block at tolerance 0. A module's first iteration takes its inputs and
# those of the module before, whose tokens are final only now; each later one leaves out a solved input more.
# The last input of a block predicts nothing.
BY_TOKEN = T - 1
WHOLE = 8 + 7 + 6 + 5 + 4 + 3 + 2 + 1
CUT = (3 + 2 + 1) + (3 + 3 + 2 + 1) + (3 + 2 + 1)


@pytest.mark.parametrize("scale", [0.0, 1.5])
@pytest.mark.parametrize(
    ("name", "options", "tokens"),
    [
        ("jacobi", {}, 3 * WHOLE),
        ("jacobi", {"init": "zeros"}, 3 * WHOLE),
        ("gs-jacobi", {}, 3 * CUT),
        ("gs-jacobi", {"modules": 1}, 3 * WHOLE),
        ("gs-jacobi", {"modules": 9}, 3 * BY_TOKEN),
        ("gs-jacobi", {"plan": [BlockPlan(9), BlockPlan(1), BlockPlan(3)]}, BY_TOKEN + WHOLE + CUT),
        ("gs-jacobi", {"modules": 3, "batch_wide": True, "stale_keys": True}, 3 * (CUT - 6)),
        ("selective-jacobi", {}, BY_TOKEN + 2 * WHOLE),
    ],
)
def test_evaluations_and_tokens_run_to_the_end(flow, z, y, name, options, tokens, scale):
    passes = 2 if scale else 1
    out = make_sampler(name, flow, tolerance=0.0, **options).sample(z, y, scale)
    assert (out.nfe, out.iterations) == (passes * (T - 1), [T - 1] * 3)
    assert out.token_steps == passes * tokens


@pytest.mark.parametrize("name", ["jacobi", "gs-jacobi"])
def test_a_bound_on_the_iterations_bounds_the_evaluations(flow, z, y, name):
    options = {"modules": 1} if name == "gs-jacobi" else {}
    out = make_sampler(name, flow, tolerance=0.0, max_iterations=2, **options).sample(z, y)
    assert (out.nfe, out.iterations, out.token_steps) == (2, [2, 2, 2], 3 * (8 + 7))


def test_evaluations_are_the_mean_iterations_per_block_and_guidance_doubles_them(flow, make):
    z, sampler = unlike_noise(7), make(flow, tolerance=0.1)
    for scale, passes in ((0.0, 1), (1.5, 2)):
        out = sampler.sample(z, LABELS, scale)
        _, iterations = images_and_iterations(sampler, z, LABELS, scale)
        assert out.iterations == pytest.approx(iterations.double().mean(dim=1).tolist(), rel=1e-12)
        assert out.nfe == pytest.approx(passes * sum(out.iterations) / 3, rel=1e-12)
        assert min(out.iterations) < T - 1


def test_at_tolerance_zero_even_an_image_that_no_longer_changes_is_swept_to_the_end(flow, z, make):
    for block in flow.blocks:
        torch.nn.init.zeros_(block.proj_out.weight)
        torch.nn.init.zeros_(block.proj_out.bias)
    assert make(flow, tolerance=0.0).sample(z, None).iterations == [T - 1] * 3


@pytest.mark.parametrize("index", [0, 1, 2])
def test_iterations_come_data_side_first(flow, z, y, index):
    torch.nn.init.zeros_(flow.blocks[index].proj_out.weight)
    torch.nn.init.zeros_(flow.blocks[index].proj_out.bias)  # from z such a block is solved at once
    solved = [i == index for i in range(3)]
    iterations = make_sampler("jacobi", flow, tolerance=1e-9).sample(z, y).iterations
    assert [block == 1 for block in iterations] == solved
    iterations = make_sampler("gs-jacobi", flow, tolerance=1e-9, modules=3).sample(z, y).iterations
    assert [block == 3 for block in iterations] == solved
    iterations = make_sampler("selective-jacobi", flow, tolerance=1e-9, init="z").sample(z, y).iterations
    assert [block == 1 for block in iterations] == [*solved[:2], False]
