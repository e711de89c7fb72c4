"""The three objectives: what each matches, and what each trains."""

import numpy as np
import pytest
import torch

from biflow import ReverseModel, ReverseSpec
from biflow.methods import METHODS
from biflow.objectives import hidden_alignment, hidden_distillation, mse, naive_distillation
from biflow.training import calibrate, held_out_path, reverse_loss, reverse_spec, validation_measure
from nfbench.config import ReverseConfig, TrainingConfig
from nfbench.data.datasets import Dataset
from nfbench.train.batches import ResidentBatches
from nfbench.train.loop import Trainer

TRAINING = TrainingConfig(
    steps=60, batch_size=16, optimizer="adamw", learning_rate=3e-3, warmup_steps=5, ema=0.0, evaluate_every=30
)
CONFIG = ReverseConfig(width=16, layers_per_group=1, training=TRAINING, head_dim=8)


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
    model = build_model(projection="through")
    h, loss = model.embed(path.z) + model.position, 0.0
    for i in range(3):
        state = model.heads[i](model.groups[i](h, y, model.cos, model.sin))
        loss = loss + mse(state, path.states[i] / model.target_rms[i])
        h = model.embeds[i](state) + model.position
    output = model.out(model.denoising_group(h, y, model.cos, model.sin))
    loss = loss + mse(output, path.clean)
    torch.testing.assert_close(hidden_distillation(model, path, y), loss)
    torch.testing.assert_close(model(path.z, y), output)


@pytest.mark.parametrize("group", range(3))
@pytest.mark.parametrize(("projection", "goes_on"), [("through", False), ("beside", True)])
def test_only_alignment_goes_on_from_what_a_projection_leaves_out(
    build_model, path, y, projection, goes_on, group
):
    model = build_model(projection=projection)
    before = model.reverse(path.z, y)
    turn = reflection_that_a_head_does_not_see(model.heads[group])
    turned = []
    model.groups[group].register_forward_hook(lambda *args: turned.append(args[2]) or args[2] @ turn)
    after = model.reverse(path.z, y)
    assert not torch.isclose(turned[0], turned[0] @ turn).all()
    torch.testing.assert_close(after.states[group], before.states[group], rtol=0, atol=1e-12)
    later = zip([*before.states[group + 1 :], before.x], [*after.states[group + 1 :], after.x], strict=True)
    for a, b in later:
        assert torch.allclose(a, b, rtol=0, atol=1e-10) != goes_on


def test_an_objective_of_states_refuses_a_model_of_another_method(build_model, path, y):
    with pytest.raises(ValueError, match="projection is 'beside', not 'through'"):
        hidden_distillation(build_model(), path, y)
    for projection in ("through", "none"):
        with pytest.raises(ValueError, match="not 'beside'"):
            hidden_alignment(build_model(projection=projection), path, y)


@pytest.mark.parametrize("denoising", ["learned", "none"])
@pytest.mark.parametrize("method", METHODS)
def test_gradients_reach_every_parameter_of_the_method_s_model_and_none_of_the_flow(
    build_model, flow, y, method, denoising
):
    model = build_model(projection=METHODS[method].projection, denoising=denoising)
    flow.requires_grad_(True)
    loss = reverse_loss(method, flow.float(), CONFIG)
    images = torch.randint(0, 256, (5, 1, 6, 6), dtype=torch.uint8)
    loss(model.float(), images, y.clamp(min=0), torch.Generator().manual_seed(0)).backward()
    assert gradients(model)[1] == set()
    assert all(p.grad is None for p in flow.parameters())


def test_the_same_seed_gives_every_method_the_same_start_of_what_they_share(flow):
    starts = {}
    for method in METHODS:
        torch.manual_seed(5)
        starts[method] = ReverseModel(reverse_spec(CONFIG, flow, method)).state_dict()
    shared = {name for name in starts["biflow-naive"] if name != "target_rms"}
    assert {name.split(".")[0] for name in shared} == {
        *("embed", "position", "groups", "denoising_group", "out")
    }
    for method in METHODS:
        assert all(torch.equal(starts[method][name], starts["biflow"][name]) for name in shared)


def test_a_fresh_hidden_distillation_lets_its_input_through(flow, path):
    torch.manual_seed(0)
    model = ReverseModel(reverse_spec(CONFIG, flow, "biflow-hidden")).double()
    states = model.reverse(path.z, None).states
    for state in states:
        assert state.std(dim=0).min() > 0.01
    assert torch.autograd.grad(states[-1].square().sum(), model.embed.weight)[0].any()


@pytest.fixture
def images():
    """Return 64 images of four classes, one bright quarter each."""
    noise = np.random.default_rng(0).integers(0, 60, (64, 1, 6, 6), dtype=np.uint8)
    labels = np.arange(64, dtype=np.int64) % 4
    for image, label in zip(noise, labels, strict=True):
        row, column = 3 * (label // 2), 3 * (label % 2)
        image[0, row : row + 3, column : column + 3] += 180
    return Dataset("toy", noise, labels, ("a", "b", "c", "d"))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        *((method, {}) for method in METHODS),
        ("biflow", {"normalisation": "token", "denoising": "none", "adaptive_weight": True}),
        ("biflow-hidden", {"normalisation": "none", "denoising": "none"}),
        ("biflow-naive", {"denoising": "none", "adaptive_weight": True}),
    ],
    ids=str,
)
def test_a_short_training_lowers_its_loss(flow, images, method, options):
    config = ReverseConfig(width=16, layers_per_group=1, training=TRAINING, head_dim=8, **options)
    torch.manual_seed(0)
    flow = flow.float()
    model = ReverseModel(reverse_spec(config, flow, method))
    calibrate(model, flow, images, seed=0)
    path, y = held_out_path(flow, images, range(64))
    before = METHODS[method].objective(model, path, y).item()
    trained = Trainer(
        model,
        reverse_loss(method, flow, config),
        ResidentBatches(images, 16, 0, torch.device("cpu")),
        TRAINING,
        seed=0,
        device=torch.device("cpu"),
        evaluate=validation_measure(flow, images),
        report=lambda line: None,
    ).run()
    assert METHODS[method].objective(trained.model, path, y).item() < 0.8 * before
    first, last = trained.curve[0], trained.curve[-1]
    assert all(last[name] < first[name] for name in first if name.endswith("mse"))
    noisy, states = config.denoising == "none", model.spec.n_states
    assert ("validation_noisy_mse" in last) == noisy
    named = [name for name in last if name.startswith("validation_alignment_mse_")]
    assert named == [f"validation_alignment_mse_{2 - i}" for i in range(states)]
    assert states == (0 if method == "biflow-naive" else 3 - noisy)


def test_the_methods_are_built_as_the_configuration_says(flow):
    assert reverse_spec(CONFIG, flow, "biflow") == ReverseSpec(
        channels=1,
        image_size=6,
        patch_size=2,
        width=16,
        blocks=3,
        layers_per_group=1,
        head_dim=8,
        n_classes=4,
    )
