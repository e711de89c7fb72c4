"""Which blocks GS-Jacobi takes for hard, and how a plan is chosen, written down and read again."""

import math
import re

import numpy as np
import pytest
import torch

from baselines import make_sampler
from baselines.tarflow.plan import (
    BlockPlan,
    Difficulty,
    as_plan,
    choose_plan,
    difficulties,
    plan_record,
    spectral,
    uniform_plan,
    usual_modules,
)
from nfbench.data.tokens import images_to_tokens
from nfbench.errors import UserError
from nfbench.files import write_json


def measured(*hardness):
    """Return blocks as hard as this, shared out between both measures; their guesses take turns."""
    return [
        Difficulty(crm=h / 4 if i % 2 else 2 * h, crm_percent=25.0, igm_z=4.0, igm_zeros=0.5 + 7.5 * (i % 2))
        for i, h in enumerate(hardness)
    ]


def modules_of(plan):
    return [block.modules for block in plan]


def test_hardness_is_the_convergence_measure_times_that_of_the_better_guess():
    assert [block.hardness for block in measured(3.0, 5.0, 0.25)] == [3.0, 5.0, 0.25]
    assert Difficulty(2.0, 50.0, 3.0, 7.0).hardness == Difficulty(2.0, 50.0, 7.0, 3.0).hardness == 6.0


def test_hard_blocks_are_cut_and_the_others_left_whole():
    blocks = measured(0.5, 1.0, 3.0, 0.5)
    assert modules_of(choose_plan(blocks, 49)) == [1, 1, 7, 1]
    assert modules_of(choose_plan(blocks, 64, modules=4)) == [1, 1, 4, 1]
    assert modules_of(choose_plan(blocks, 49, hard=0.8)) == [1, 7, 7, 1]
    assert modules_of(choose_plan(blocks[::-1], 49)) == [1, 7, 1, 1]


def test_a_block_is_hard_from_one_and_a_half_equal_shares_on():
    assert modules_of(choose_plan(measured(1.5, 1.25, 1.0, 0.25), 16)) == [4, 1, 1, 1]
    assert modules_of(choose_plan(measured(1.375, 1.25, 1.125, 0.25), 16)) == [1, 1, 1, 1]


def test_the_guess_is_the_one_with_the_smaller_measure_and_z_of_two_equal_ones():
    blocks = [Difficulty(1.0, 25.0, z, zeros) for z, zeros in ((1.0, 2.0), (2.0, 1.0), (1.0, 1.0))]
    assert [block.init for block in choose_plan(blocks, 16)] == ["z", "zeros", "z"]


@pytest.mark.parametrize(
    ("n_tokens", "modules"),
    [(49, 7), (64, 8), (16, 4), (256, 16), (9, 3), (12, 3), (8, 2), (2, 1), (1, 1)],
)
def test_usual_modules(n_tokens, modules):
    assert usual_modules(n_tokens) == modules


def test_usual_modules_divide_the_tokens_and_none_lies_nearer_to_the_root_on_a_logarithmic_scale():
    for n_tokens in range(1, 400):
        modules = usual_modules(n_tokens)
        assert n_tokens % modules == 0
        assert modules**2 <= n_tokens  # of a pair of divisors, equally near, the smaller
        others = (d for d in range(1, n_tokens + 1) if n_tokens % d == 0)
        nearest = min(abs(math.log(d * d / n_tokens)) for d in others)
        assert abs(math.log(modules**2 / n_tokens)) == pytest.approx(nearest, abs=1e-12)


@pytest.mark.parametrize("prime", [2, 3, 5, 7, 11, 13, 19, 97])
def test_a_prime_number_of_tokens_is_left_whole(prime):
    assert usual_modules(prime) == 1


def test_spectral_is_the_largest_singular_value():
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 7), (7, 3), (5, 5), (1, 4)):
        matrix = torch.randn(shape, dtype=torch.float64, generator=generator)
        assert spectral(matrix).item() == pytest.approx(np.linalg.norm(matrix.numpy(), 2), rel=1e-12)


def norm(matrix):
    return np.linalg.norm(matrix.numpy(), 2)


@pytest.mark.parametrize("changes", [{}, {"n_classes": None}, {"volume_preserving": True}])
def test_measures_follow_their_formulas(make_flow, x, changes):
    flow = make_flow(**changes)
    blocks = difficulties(flow, x)
    u = images_to_tokens(x, 2)
    crm = []
    for block, ours in zip(flow.blocks, blocks, strict=True):
        z = block(u)[0]
        own_u, own_z = block.order(u), block.order(z)
        a, _ = block.affine(own_u, None)
        weights = block.proj_out.weight.split(8)
        weight_a = norm(weights[0]) if len(weights) == 2 else 0.0
        crm.append(norm((torch.exp(-a) * own_u).mean(dim=0)) * weight_a + norm(weights[-1]))
        zeros = torch.zeros_like(own_z)
        zeros[:, 0] = own_z[:, 0]
        for guess, igm in ((own_z, ours.igm_z), (zeros, ours.igm_zeros)):
            a, m = block.affine(guess, None)
            step = own_z * torch.exp(a) + m
            assert igm == pytest.approx(norm((step - own_u).mean(dim=0)), rel=1e-10)
        u = z
    assert [block.crm for block in blocks] == pytest.approx(crm, rel=1e-10)
    assert [block.crm_percent for block in blocks] == pytest.approx(list(100 * np.array(crm) / sum(crm)))


def test_a_block_that_changes_nothing_is_solved_by_the_guess_z(flow, x):
    torch.nn.init.zeros_(flow.blocks[1].proj_out.weight)
    torch.nn.init.zeros_(flow.blocks[1].proj_out.bias)
    block = difficulties(flow, x)[1]
    assert (block.crm, block.igm_z) == (0.0, 0.0)


def test_a_plan_is_chosen_from_images_and_the_flow_is_left_as_it_was(flow, x):
    flow.blocks[2].proj_out.weight.mul_(4.0)  # the hard one
    flow.train().requires_grad_(True)
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    sampler = make_sampler("gs-jacobi", flow, images=x)
    assert sampler.plan == choose_plan(difficulties(flow, x), 9)
    assert modules_of(sampler.plan) == [1, 1, 3]
    assert modules_of(make_sampler("gs-jacobi", flow, images=x, modules=9).plan) == [1, 1, 9]
    torch.testing.assert_close(flow.state_dict(), before, rtol=0, atol=0)
    assert flow.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in flow.parameters())


def test_without_images_every_block_is_hard(flow):
    assert make_sampler("gs-jacobi", flow).plan == [BlockPlan(3)] * 3
    assert make_sampler("gs-jacobi", flow, modules=9).plan == uniform_plan(flow, 9) == [BlockPlan(9)] * 3


def test_a_plan_given_goes_before_images(flow, x):
    plan = [BlockPlan(9), BlockPlan(1, "zeros"), BlockPlan(3)]
    assert make_sampler("gs-jacobi", flow, plan=plan, images=x).plan == plan


def test_a_plan_comes_back_from_its_file_and_its_plain_values(flow, x, tmp_path):
    blocks = difficulties(flow, x)
    plan = [BlockPlan(9), BlockPlan(1, "zeros"), BlockPlan(3)]
    record = plan_record(blocks, plan)
    for entry, block in zip(record["difficulty"], blocks, strict=True):
        assert Difficulty(entry["crm"], entry["crm_percent"], entry["igm_z"], entry["igm_zeros"]) == block
        assert entry["hardness"] == block.hardness
    write_json(tmp_path / "plan.json", record)
    for source in (tmp_path / "plan.json", str(tmp_path / "plan.json"), record["plan"], plan):
        assert as_plan(source) == plan
        assert make_sampler("gs-jacobi", flow, plan=source).plan == plan


UNREADABLE = {
    "missing": (None, "is missing"),
    "empty": ("", "is not valid JSON"),
    "truncated": ('{"plan": [{"modules": 3', "is not valid JSON"),
    "of another kind": ('{"weights": 3}', "holds no plan of GS-Jacobi"),
    "a list": ("[1, 2]", "holds no plan of GS-Jacobi"),
    "a number for a block": ('{"plan": [3]}', "holds no plan of GS-Jacobi"),
    "another key": ('{"plan": [{"modules": 3, "sweeps": 2}]}', "holds no plan of GS-Jacobi"),
    "no modules": ('{"plan": [{"init": "z"}]}', "holds no plan of GS-Jacobi"),
    "another guess": ('{"plan": [{"modules": 3, "init": "y"}]}', "init is 'y'; it must be one of z, zeros"),
}


@pytest.mark.parametrize(("text", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_without_a_plan_is_refused_in_one_sentence(flow, tmp_path, text, reason):
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=re.escape(reason)) as caught:
        make_sampler("gs-jacobi", flow, plan=path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_values_that_are_no_plan_are_refused():
    with pytest.raises(UserError, match="^the plan holds no plan of GS-Jacobi"):
        as_plan([{"modules": 3, "init": "y"}])


def test_modules_that_do_not_divide_the_tokens_are_refused_before_a_plan_is_made():
    measured = [Difficulty(1.0, 50.0, 1.0, 1.0)] * 2
    with pytest.raises(UserError, match="cannot cut 16 tokens into 3 equal modules; choose a number"):
        choose_plan(measured, 16, modules=3)
