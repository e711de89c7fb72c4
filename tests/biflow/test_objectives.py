"""The three objectives: what each matches, and what each trains."""

import pytest
import torch

from biflow import ReverseModel, ReverseSpec
from biflow.objectives import (
    OBJECTIVES,
    PLAIN,
    Terms,
    adaptively_weighted,
    hidden_alignment,
    hidden_distillation,
    mse,
    naive_distillation,
)
from biflow.training import calibrate, held_out_path, reverse_loss, reverse_spec, validation_measure
from tests.biflow.toy import CONFIG, SIZES, changed, train


def gradients(model):
    """Return which parameters got a gradient that is not zero, and which got none or zero."""
    got = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    return got, {name for name, _ in model.named_parameters()} - got


def reflection_that_a_head_does_not_see(head):
    """Return R, (C, C), with head(h R) = head(h): it turns round what the head's map leaves out.

    A reflection keeps the length of h, and so its RMS.
    """
    seen = head.linear.weight * head.norm.weight
    left_out = torch.eye(seen.shape[1], dtype=seen.dtype) - torch.linalg.pinv(seen) @ seen
    return torch.eye(seen.shape[1], dtype=seen.dtype) - 2 * left_out


def test_naive_distillation_is_the_error_of_the_output_and_leaves_heads_alone(model, path, y):
    loss = naive_distillation(model, path, y)
    assert torch.equal(loss, mse(model(path.z, y), path.clean))
    loss.backward()
    _, left = gradients(model)
    assert left == {name for name, _ in model.named_parameters() if name.startswith("heads.")}


def test_hidden_alignment_is_the_sum_by_hand_to_the_last_bit(model, path, y):
    model = model.float()
    path = type(path)(path.clean.float(), [state.float() for state in path.states], path.z.float())
    hidden_alignment(model, path, y).backward()
    found = [p.grad for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    *states, last = model.hidden_states(path.z, y)
    projected = [head(h) for head, h in zip(model.heads, states, strict=True)]
    loss = (model.out(last) - path.clean).square().mean()
    for state, target, rms in zip(projected, path.states, model.target_rms, strict=True):
        loss = loss + (state - target / rms).square().mean()
    assert torch.equal(hidden_alignment(model, path, y), loss)
    loss.backward()
    assert all(torch.equal(p.grad, before) for p, before in zip(model.parameters(), found, strict=True))


def test_hidden_distillation_is_the_sum_by_hand(build_model, path, y):
    model = build_model(projection="bottleneck")
    h, loss = model.embed(path.z) + model.position, 0.0
    for i in range(3):
        state = model.heads[i](model.stages[i](h, y, model.cos, model.sin))
        loss = loss + mse(state, path.states[i] / model.target_rms[i])
        h = model.embeds[i](state) + model.position
    output = model.out(model.denoising_stage(h, y, model.cos, model.sin))
    loss = loss + mse(output, path.clean)
    torch.testing.assert_close(hidden_distillation(model, path, y), loss)
    torch.testing.assert_close(model(path.z, y), output)


@pytest.mark.parametrize("stage", range(3))
@pytest.mark.parametrize(("projection", "goes_on"), [("bottleneck", False), ("auxiliary", True)])
def test_only_alignment_goes_on_from_what_a_projection_leaves_out(
    build_model, path, y, projection, goes_on, stage
):
    model = build_model(projection=projection)
    before = model.reverse(path.z, y)
    turn = reflection_that_a_head_does_not_see(model.heads[stage])
    turned = []
    model.stages[stage].register_forward_hook(lambda *args: turned.append(args[2]) or args[2] @ turn)
    after = model.reverse(path.z, y)
    assert not torch.isclose(turned[0], turned[0] @ turn).all()
    torch.testing.assert_close(after.states[stage], before.states[stage], rtol=0, atol=1e-12)
    later = zip([*before.states[stage + 1 :], before.x], [*after.states[stage + 1 :], after.x], strict=True)
    for a, b in later:
        assert torch.allclose(a, b, rtol=0, atol=1e-10) != goes_on


def test_an_objective_of_states_refuses_a_model_of_another_objective(build_model, path, y):
    with pytest.raises(ValueError, match="projection is 'auxiliary', not 'bottleneck'"):
        hidden_distillation(build_model(), path, y)
    for projection in ("bottleneck", "none"):
        with pytest.raises(ValueError, match="not 'auxiliary'"):
            hidden_alignment(build_model(projection=projection), path, y)


@pytest.mark.parametrize("denoising", ["learned", "none"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_reach_every_parameter_of_the_objective_s_model_and_none_of_the_flow(
    build_model, flow, y, objective, denoising
):
    model = build_model(projection=OBJECTIVES[objective].projection, denoising=denoising)
    flow.requires_grad_(True)
    loss = reverse_loss(flow.float(), changed(CONFIG, objective=objective))
    images = torch.randint(0, 256, (5, 1, 6, 6), dtype=torch.uint8)
    loss(model.float(), images, y.clamp(min=0), torch.Generator().manual_seed(0)).backward()
    assert gradients(model)[1] == set()
    assert all(p.grad is None for p in flow.parameters())


def test_the_same_seed_gives_every_objective_the_same_start_of_what_they_share(flow):
    starts = {}
    for objective in OBJECTIVES:
        torch.manual_seed(5)
        starts[objective] = ReverseModel(
            reverse_spec(changed(CONFIG, objective=objective), flow.spec)
        ).state_dict()
    shared = {name for name in starts["naive"] if name != "target_rms"}
    assert {name.split(".")[0] for name in shared} == {
        *("embed", "position", "stages", "denoising_stage", "out")
    }
    for objective in OBJECTIVES:
        assert all(torch.equal(starts[objective][name], starts["alignment"][name]) for name in shared)


def test_a_fresh_hidden_distillation_lets_its_input_through(flow, path):
    torch.manual_seed(0)
    model = ReverseModel(reverse_spec(changed(CONFIG, objective="hidden"), flow.spec)).double()
    states = model.reverse(path.z, None).states
    for state in states:
        assert state.std(dim=0).min() > 0.01
    assert torch.autograd.grad(states[-1].square().sum(), model.embed.weight)[0].any()


@pytest.mark.parametrize(
    "changes",
    [
        *({"objective": objective} for objective in OBJECTIVES),
        {"normalisation": "token", "denoising": "none", "adaptive_weight": True},
        {"objective": "hidden", "normalisation": "none", "denoising": "none"},
        {"objective": "naive", "denoising": "none", "adaptive_weight": True},
    ],
    ids=str,
)
def test_a_short_training_lowers_its_loss(flow, images, changes):
    config = changed(CONFIG, training={"steps": 60, "evaluate_every": 30}, **changes)
    objective = OBJECTIVES[config.objective].loss
    torch.manual_seed(0)
    flow = flow.float()
    model = ReverseModel(reverse_spec(config, flow.spec))
    calibrate(model, flow, images, seed=0)
    path, y = held_out_path(flow, images, range(64))
    before = objective(model, path, y).item()
    evaluate = validation_measure(flow, images)
    trained = train(model, reverse_loss(flow, config), images, config.training, evaluate)
    assert objective(trained.model, path, y).item() < 0.8 * before
    first, last = trained.curve[0], trained.curve[-1]
    assert all(last[name] < first[name] for name in first if name.endswith("mse"))
    noisy, states = config.denoising == "none", model.spec.n_states
    assert ("validation_noisy_mse" in last) == noisy
    named = [name for name in last if name.startswith("validation_alignment_mse_")]
    assert named == [f"validation_alignment_mse_{2 - i}" for i in range(states)]
    assert states == (0 if config.objective == "naive" else 3 - noisy)


def test_models_are_built_as_the_configuration_says(flow):
    assert reverse_spec(CONFIG, flow.spec) == ReverseSpec(
        **SIZES, layers_per_stage=1, head_dim=8, projection="auxiliary"
    )


def test_the_adaptive_weight_of_a_known_error_is_known():
    errors = torch.tensor([[0.99, 0.99], [0.0, 0.08]], dtype=torch.float64)  # distances 0.99 and 0.04
    assert adaptively_weighted(errors).item() == pytest.approx((0.99 / 1.0 + 0.04 / 0.05) / 2)
    assert adaptively_weighted(errors, power=0.5, offset=0.21).item() == pytest.approx(
        (0.99 / 1.2**0.5 + 0.04 / 0.25**0.5) / 2
    )


def test_a_power_of_zero_is_the_plain_mean():
    errors = torch.rand(5, 9, 4, dtype=torch.float64)
    torch.testing.assert_close(adaptively_weighted(errors, power=0.0), errors.mean(), rtol=0, atol=1e-15)


def test_an_image_s_distance_may_be_one_number():
    errors = torch.tensor([0.99, 0.04], dtype=torch.float64)
    assert adaptively_weighted(errors).item() == pytest.approx((0.99 + 0.8) / 2)


def test_the_adaptive_weight_carries_no_gradient():
    prediction = torch.randn(3, 9, 4, dtype=torch.float64, requires_grad=True)
    target = torch.randn(3, 9, 4, dtype=torch.float64)
    Terms(adaptive_weight=True).state(prediction, target).backward()
    off = (prediction - target).detach()
    weight = 1 / (off.square().mean(dim=(1, 2)) + 0.01)
    torch.testing.assert_close(prediction.grad, weight[:, None, None] * 2 * off / off.numel())


def test_every_term_is_weighed_by_itself(model, path, y):
    result = model.reverse(path.z, y)
    pairs = [(result.x, path.clean)]
    pairs += [(s, t / rms) for s, t, rms in zip(result.states, path.states, model.target_rms, strict=True)]
    expected = sum(adaptively_weighted((a - b).square()) for a, b in pairs)
    loss = hidden_alignment(model, path, y, Terms(adaptive_weight=True))
    torch.testing.assert_close(loss, expected)
    assert not torch.isclose(loss, hidden_alignment(model, path, y))


def test_plain_terms_are_mean_squared_errors(model, z, path):
    assert torch.equal(PLAIN.state(z, path.clean), mse(z, path.clean))
    assert torch.equal(PLAIN.output(model, z, path.clean), (z - path.clean).square().mean())
