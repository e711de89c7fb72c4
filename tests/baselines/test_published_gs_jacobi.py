"""Parity with the published GS-Jacobi code: every state of decoding, iterations, measures of difficulty."""

import json

import numpy as np
import pytest
import torch

from baselines import load_published
from baselines.tarflow.cost import Count
from baselines.tarflow.fixed_point import INITS, FixedPoint, solve_modules
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.jacobi import GSJacobi, published_tolerance
from baselines.tarflow.plan import BlockPlan, difficulties, spectral
from baselines.tarflow.prepared import PreparedFlow
from nfbench.data.tokens import images_to_tokens

TOLERANCE = 5e-5
UNBOUNDED = 100  # the published setting for "until it has converged"

SETTINGS = ["J3_z", "J3_zero", "Jconv_z", "Jconv_zero", "GS4J2_mixed", "GS4Jconv", "GS8J1"]
SETTINGS += ["mixed_GS4J4_J2_GS0", "GS0"]
GUIDED = "small_g1.5_annealed_temp0.7"
RUNS = [(noise, setting) for noise in ("small", "std") for setting in SETTINGS]
RUNS += [(GUIDED, setting) for setting in ("J3_z", "GS4J2_mixed", "Jconv_z")]
everything = pytest.mark.parametrize(("noise", "setting"), RUNS)


@pytest.fixture
def flow(state):
    return load_published(state, patch_size=2, sigma=0.1)


@pytest.fixture
def meta(published):
    return json.loads(str(published["meta_json"]))


def guidance_of(noise, meta):
    if noise != GUIDED:
        return Guidance()
    return Guidance(meta["guidance"], annealed=True, attention_temperature=meta["attn_temp"])


def steps(flow, settings):
    """Yield each block's index, modules, most iterations and guess, in the order of inversion."""
    lists = (settings["num_GS_list"], settings["max_jacobi_list"], settings["guess_list"])
    blocks = reversed(range(flow.spec.blocks))
    for index, modules, most, init in zip(blocks, *lists, strict=True):
        # The published lists say 0 modules for token by token.
        yield index, modules or flow.spec.n_tokens, None if most == UNBOUNDED else most, INITS[init]


def test_every_run_of_the_fixture_is_compared(published):
    found = {tuple(name.split("/")[1:3]) for name in published if name.endswith("/n_iter")}
    assert found == set(RUNS)


@everything
def test_every_state_of_decoding(flow, numbers, meta, noise, setting):
    expected = numbers(f"gsj/{noise}/{setting}/seq")
    guidance = guidance_of(noise, meta)
    tokens = numbers("rev/z0" if noise == "std" else "rev/z_small")
    options = {"tolerance": published_tolerance(flow), "clamp": 3.0, "batch_wide": True, "stale_keys": True}
    blocks = steps(flow, meta["gsj_settings"][setting])
    for image, (index, modules, most, init) in zip(expected[1:], blocks, strict=True):
        plan = [BlockPlan(modules, init)] * flow.spec.blocks
        sampler = GSJacobi(flow, plan=plan, max_iterations=most, **options)
        with torch.inference_mode():
            tokens = sampler.invert_block(index, tokens, numbers("main/y"), guidance, Count()).tokens
        torch.testing.assert_close(flow.to_images(tokens), image, rtol=0, atol=TOLERANCE)


@everything
def test_iterations_of_every_module(flow, numbers, meta, noise, setting):
    published = numbers(f"gsj/{noise}/{setting}/n_iter")
    guidance = guidance_of(noise, meta)
    z = numbers("rev/z0" if noise == "std" else "rev/z_small")
    blocks = steps(flow, meta["gsj_settings"][setting])
    for expected, (index, modules, most, init) in zip(published, blocks, strict=True):
        options = FixedPoint(published_tolerance(flow), most, init, 3.0, batch_wide=True, stale_keys=True)
        with torch.inference_mode():
            net = PreparedFlow(flow).network(index, numbers("main/y"), guidance, len(z), Count())
            x, iterations = solve_modules(net, net.block.order(z), modules, options)
        z = net.block.order(x)
        assert (iterations == iterations[:, :1]).all()
        assert_iterations_agree(iterations[:, 0], expected, flow.spec.n_tokens, most)


def assert_iterations_agree(ours, published, n_tokens, most):
    """Compare a block's iterations per module; published counts include the one that finds no change."""
    if len(ours) == n_tokens:  # token by token: one published count for the block
        assert ours.sum() == published[0]
        return
    length = n_tokens // len(ours)
    unknown = torch.full_like(ours, length)
    unknown[-1] -= 1  # the first token of all is known
    published = published[: len(ours)]
    if most is None:
        assert ((ours - published).abs() <= 1).all()
    else:
        assert (published == most).all()
        assert torch.equal(ours, unknown.clamp(max=most))


def test_convergence_ranking_and_initial_guessing_measures(flow, published, numbers):
    measured = difficulties(flow, numbers("main/x"))
    crm, igm = published["gsj/crm_norm2"], published["gsj/igm_norm2"]
    rounding = {"rtol": 0, "atol": 0.005 + 1e-6}
    np.testing.assert_allclose([block.crm for block in measured], crm[:, 3], **rounding)
    np.testing.assert_allclose([(block.igm_z, block.igm_zeros) for block in measured], igm, **rounding)


def test_factors_of_the_convergence_ranking_measure(flow, published, numbers):
    u = images_to_tokens(numbers("main/x"), flow.spec.patch_size)
    columns = []
    with torch.no_grad():
        for block in flow.blocks:
            a, _ = block.affine(block.order(u), None)
            scaled = (torch.exp(-a) * block.order(u)).mean(dim=0)
            weight_a, weight_m = block.proj_out.weight.chunk(2)
            columns.append([spectral(matrix).item() for matrix in (scaled, weight_a, weight_m)])
            u = block(u)[0]
    np.testing.assert_allclose(columns, published["gsj/crm_norm2"][:, :3], rtol=0, atol=0.005 + 1e-6)
