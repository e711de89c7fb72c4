"""The fixed-point inverses: exact at the end, and token by token on the way; what their options do."""

import pytest
import torch

from baselines import make_sampler
from baselines.tarflow.cost import Count
from baselines.tarflow.denoise import denoise
from baselines.tarflow.fixed_point import FixedPoint, solve_modules
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.jacobi import Jacobi
from baselines.tarflow.plan import BlockPlan
from baselines.tarflow.prepared import PreparedFlow
from baselines.tarflow.sequential import Sequential
from nfbench.errors import UserError

T = 9  # tokens of an image; the flow has three blocks
NAMES = ["jacobi", "gs-jacobi", "selective-jacobi"]


@torch.inference_mode()
def block_of(sampler, index, z, y=None, guidance=None):
    """Invert one block, tokens in its own order on both sides; return them and the iterations."""
    order = sampler.flow.blocks[index].order
    inverted = sampler.invert_block(index, order(z), y, guidance or Guidance(), Count())
    return order(inverted.tokens), inverted.iterations


@torch.inference_mode()
def solved(flow, z, y, modules, **options):
    """Solve block 1, tokens in its own order on both sides; return them and every module's iterations."""
    net = PreparedFlow(flow).network(1, y, Guidance(), len(z), Count())
    return solve_modules(net, z, modules, FixedPoint(**options))


def assert_equal(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.gpu
@pytest.mark.parametrize("batch_wide", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_on_a_gpu_it_is_the_same(make_flow, z, y, name, batch_wide, scale):
    gpu, options = torch.device("cuda"), {"batch_wide": batch_wide, "tolerance": 1e-6}
    expected = make_sampler(name, make_flow(), **options).sample(z, y, scale)
    out = make_sampler(name, make_flow(), **options).to(gpu).sample(z.to(gpu), y.to(gpu), scale)
    torch.testing.assert_close(out.images.cpu(), expected.images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"clip": 0.3}, {"n_classes": None}, {"volume_preserving": True}])
def test_run_to_the_end_it_is_exact(make_flow, z, y, guided, make, changes):
    flow = make_flow(**changes)
    flow.var.fill_(0.7)
    options, scale = guided
    expected = make_sampler("sequential", flow, **options).sample(z, y, scale).images
    assert_equal(make(flow, tolerance=0.0, **options).sample(z, y, scale).images, expected)


@pytest.mark.parametrize(("modules", "enough"), [(1, 8), (3, 3), (9, 1)])
@pytest.mark.parametrize("init", ["z", "zeros"])
@pytest.mark.parametrize("stale", [False, True])
def test_a_module_is_solved_by_as_many_iterations_as_it_has_unknown_tokens(
    flow, z, y, modules, enough, init, stale
):
    expected, _ = block_of(Sequential(flow), 1, z, y)
    x, iterations = solved(
        flow, z, y, modules, max_iterations=enough, init=init, batch_wide=stale, stale_keys=stale
    )
    assert_equal(x, expected)
    assert iterations.sum(dim=0).tolist() == [T - 1] * 5
    assert (iterations[:-1] == enough).all()
    if enough > 1:
        fewer = {"max_iterations": enough - 1, "init": init, "batch_wide": stale, "stale_keys": stale}
        assert (solved(flow, z, y, modules, **fewer)[0] - expected).abs().max() > 1e-7


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("init", ["z", "zeros"])
def test_after_k_iterations_tokens_0_to_k_are_exact_and_no_others(flow, z, y, guided, index, init):
    options, scale = guided
    guidance = Guidance(scale, **options)
    expected, _ = block_of(Sequential(flow), index, z, y, guidance)
    for k in range(1, T):
        x, iterations = block_of(
            Jacobi(flow, tolerance=0.0, max_iterations=k, init=init), index, z, y, guidance
        )
        errors = (x - expected).abs().amax(dim=(0, 2))
        assert iterations.tolist() == [k] * 5
        assert errors[: k + 1].max() < 1e-12
        assert (errors[k + 1 :] > 1e-7).all()


def test_a_guess_that_overflows_on_the_way_spoils_no_token_that_is_solved(flow):
    z = 3.5 * torch.randn(40, T, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    expected = make_sampler("sequential", flow).sample(z, None).images
    tame = expected.flatten(1).abs().amax(dim=1) < 1000
    assert tame.any()
    images = make_sampler("jacobi", flow, tolerance=0.0).sample(z, None).images
    torch.testing.assert_close(images[tame], expected[tame], rtol=0, atol=1e-9)


def test_without_labels_means_the_mean_over_classes(flow, z, make):
    sampler = make(flow, tolerance=0.05)
    for scale in (0.0, 1.5):
        without = sampler.sample(z, None, scale)
        minus_one = sampler.sample(z, torch.full((5,), -1), scale)
        assert_equal(without.images, minus_one.images)
        assert without.iterations == minus_one.iterations
    for block in flow.blocks:
        block.class_embed[:] = block.class_embed.mean(dim=0, keepdim=True)
    other = make(flow, tolerance=0.05).sample(z, torch.tensor([0, 1, 2, 3, 0]))
    assert_equal(other.images, sampler.sample(z, None).images)


def test_guidance_zero_is_no_guidance(flow, z, y, make):
    options = {"guide": "a", "annealed": True, "attention_temperature": 0.7}
    plain = make(flow).sample(z, y)
    assert torch.equal(make(flow, **options).sample(z, y, 0.0).images, plain.images)
    assert (make(flow, **options).sample(z, y, 1.5).images - plain.images).abs().max() > 1e-3


def test_arguments_are_never_mutated(flow, z, y, make):
    sampler = make(flow, tolerance=0.05, clamp=0.5)
    for size in (1, 5):
        noise, labels = z[:size].clone(), y[:size].clone()
        sampler.sample(noise, labels, 1.5)
        block_of(sampler, 0, noise, labels, Guidance(1.5))  # block 0 keeps the order, so no copy is made
        assert torch.equal(noise, z[:size])
        assert torch.equal(labels, y[:size])


def test_what_a_call_leaves_behind_changes_no_later_call(flow, z, y, make):
    expected = make(flow, tolerance=1e-4).sample(z, y, 1.5)
    sampler = make(flow, tolerance=1e-4)
    spoilt = sampler.sample(torch.full_like(z, torch.nan), y, 1.5).images
    assert not spoilt.isfinite().any()
    again = sampler.sample(z, y, 1.5)
    assert torch.equal(again.images, expected.images)
    assert again.iterations == expected.iterations


@pytest.mark.parametrize("modules", [1, 3])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_smaller_tolerance_takes_no_fewer_iterations_and_errs_less(flow, z, y, index, modules):
    expected, _ = block_of(Sequential(flow), index, z, y)
    plan = [BlockPlan(modules)] * 3
    errors, most = [], torch.zeros(5, dtype=torch.long)
    for tolerance in (1.0, 0.3, 0.1, 0.03, 0.01, 1e-4, 0.0):
        x, iterations = block_of(make_sampler("gs-jacobi", flow, plan=plan, tolerance=tolerance), index, z, y)
        assert iterations.sum() >= most.sum()
        assert (
            modules > 1 or (iterations >= most).all()
        )  # a later module starts from what those before it left
        errors.append((x - expected).abs().mean().item())
        most = iterations
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1e-2
    assert errors[-1] < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_a_clamp_matters_only_where_it_is_exceeded(flow, z, y, name):
    sampler = make_sampler(name, flow, tolerance=0.0)
    free = sampler.sample(z, y).images
    wide = make_sampler(name, flow, tolerance=0.0, clamp=100.0).sample(z, y).images
    assert torch.equal(wide, free)
    x, _ = block_of(make_sampler(name, flow, tolerance=0.0, clamp=0.5), 0, z, y)
    assert x[:, 1:].abs().max() == 0.5
    assert torch.equal(x[:, 0], z[:, 0])
    assert (x - block_of(sampler, 0, z, y)[0]).abs().max() > 0.5


def test_stale_keys_matter_only_until_a_module_is_solved(flow, z, y):
    def sample(**options):
        return make_sampler(
            "gs-jacobi", flow, plan=[BlockPlan(3)] * 3, tolerance=0.0, batch_wide=True, **options
        ).sample(z, y)

    assert_equal(sample(stale_keys=True).images, sample().images)
    difference = sample(stale_keys=True, max_iterations=1).images - sample(max_iterations=1).images
    assert difference.abs().max() > 1e-6


@torch.inference_mode()
def test_selective_jacobi_is_exact_in_the_block_next_to_the_noise_at_any_tolerance(flow, z, y):
    exact, _ = Sequential(flow).invert(z, y, Guidance(), Count())
    states, iterations = make_sampler("selective-jacobi", flow, tolerance=100.0).invert(
        z, y, Guidance(), Count()
    )
    assert_equal(states[2], exact[2])
    assert (states[1] - exact[1]).abs().max() > 1e-3
    assert [block.unique().tolist() for block in iterations] == [[1], [1], [T - 1]]


def test_defaults_are_the_published_settings(flow):
    jacobi = make_sampler("jacobi", flow).options
    assert jacobi == FixedPoint(tolerance=1e-6 * flow.spec.token_dim)
    assert make_sampler("gs-jacobi", flow).options == jacobi
    assert make_sampler("selective-jacobi", flow).options == FixedPoint(tolerance=0.5, init="zeros")


def test_the_guess_is_the_plans(flow, z, y):
    for init in ("z", "zeros"):
        plan = [BlockPlan(1, init)] * 3
        expected = make_sampler("jacobi", flow, init=init, max_iterations=2).sample(z, y)
        assert torch.equal(
            make_sampler("gs-jacobi", flow, plan=plan, max_iterations=2).sample(z, y).images, expected.images
        )


@pytest.mark.parametrize("modules", [2, 10])
def test_modules_that_do_not_divide_the_tokens_are_refused(flow, z, modules):
    net = PreparedFlow(flow).network(0, None, Guidance(), 5, Count())
    with pytest.raises(ValueError, match=f"9 tokens cannot be cut into {modules} equal modules"):
        solve_modules(net, z, modules, FixedPoint())
    reason = f"GS-Jacobi cannot cut 9 tokens into {modules} equal modules; choose a number that divides them."
    with pytest.raises(UserError, match=reason):
        make_sampler("gs-jacobi", flow, plan=[BlockPlan(3), BlockPlan(modules), BlockPlan(1)])


def test_a_plan_for_another_number_of_blocks_is_refused(flow):
    with pytest.raises(UserError, match="The plan of GS-Jacobi is for 2 blocks; the flow has 3."):
        make_sampler("gs-jacobi", flow, plan=[BlockPlan(1)] * 2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "options", [{"tolerance": -0.1}, {"max_iterations": 0}, {"clamp": 0.0}, {"guide": "c"}, {"tau": 0.1}]
)
def test_a_bad_option_is_told_when_the_sampler_is_made(flow, name, options):
    (option,) = options
    with pytest.raises(UserError, match=f"option '{option}'"):
        make_sampler(name, flow, **options)


def test_a_bad_guess_and_stale_keys_of_images_that_leave_are_refused(flow):
    for name in ("jacobi", "selective-jacobi"):
        with pytest.raises(UserError, match="the option 'init' of '.*' is 'ones'"):
            make_sampler(name, flow, init="ones")
    with pytest.raises(ValueError, match="init is 'ones'; it must be one of z, zeros"):
        BlockPlan(1, "ones")
    with pytest.raises(ValueError, match="stale_keys needs batch_wide"):
        make_sampler("gs-jacobi", flow, stale_keys=True)


@pytest.mark.parametrize("name", NAMES)
def test_denoising_costs_one_score_evaluation_and_changes_nothing_else(flow, z, y, name):
    noisy = make_sampler(name, flow).sample(z, y, 1.5)
    clean = make_sampler(f"{name}+denoise", flow).sample(z, y, 1.5)
    assert (noisy.score_evaluations, clean.score_evaluations) == (0, 1)
    assert_equal(clean.images, denoise(flow, noisy.images, y))
    for cost in ("nfe", "token_steps", "iterations"):
        assert getattr(clean, cost) == getattr(noisy, cost)
