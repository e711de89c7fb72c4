"""Guidance of the reverse model: the training law, and sampling in one evaluation or two."""

import dataclasses

import pytest
import torch

from baselines import make_sampler
from baselines.tarflow.training import add_noise, drop_labels
from biflow import OneStep
from biflow.guidance import draw_scales, guided_reverse, reverse_in_two_evaluations
from biflow.objectives import OBJECTIVES, hidden_alignment, mse, trajectory
from biflow.training import reverse_loss, reverse_spec
from nfbench import registry
from nfbench.errors import UserError
from nfbench.sample.sample_set import draw
from tests.biflow.toy import CONFIG, GUIDED, W_MAX, changed


def losses_and_gradients(model, *losses):
    """Return (loss, gradients by name) of every function of the model."""
    found = []
    for loss in losses:
        model.zero_grad(set_to_none=True)
        value = loss(model)
        value.backward()
        found.append((value, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    return found


def test_scale_zero_gives_exactly_the_plain_loss_and_its_gradients(guided, path, y):
    zeros = torch.zeros(5, dtype=torch.float64)
    (loss, gradients), (plain, plain_gradients) = losses_and_gradients(
        guided, lambda m: hidden_alignment(m, path, y, w=zeros), lambda m: hidden_alignment(m, path, y)
    )
    assert torch.equal(loss, plain)
    assert gradients.keys() == plain_gradients.keys()
    assert all(torch.equal(gradients[name], plain_gradients[name]) for name in gradients)


@pytest.mark.parametrize("conditioning", ["added", "extrapolated"])
def test_scale_zero_is_the_model_without_scales(build_model, path, y, conditioning):
    guided, plain = build_model(guidance_max=W_MAX, conditioning=conditioning), build_model()
    kept = {name: value for name, value in guided.state_dict().items() if not name.startswith("scales.")}
    plain.load_state_dict(kept)
    zeros = torch.zeros(5, dtype=torch.float64)
    loss, expected = hidden_alignment(guided, path, y, w=zeros), hidden_alignment(plain, path, y)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-14)


def test_the_unguided_combination_reconstructs_the_guided_state(guided, z, y, w):
    seen = []
    for head in (*guided.heads, guided.out):
        head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    guided_reverse(guided, z, y, w)
    states, wide = guided.hidden_states(z, y, w), w[:, None, None]
    assert len(seen) == len(states) == 4
    before = guided.start(z)
    for u, h, i in zip(seen, states, range(4), strict=True):
        unconditional = guided.run_stage(i, before, None)
        torch.testing.assert_close((1 + wide) * u - wide * unconditional, h, rtol=0, atol=1e-12)
        before = h


def test_without_denoising_the_last_stage_is_guided_as_the_others(build_model, z, y, w):
    model = build_model(guidance_max=W_MAX, denoising="none")
    result = guided_reverse(model, z, y, w)
    *_, before, last = model.hidden_states(z, y, w)
    wide = w[:, None, None]
    unguided = (last + wide * model.run_stage(2, before, None)) / (1 + wide)
    torch.testing.assert_close(result.x, model.out(unguided))
    assert len(result.states) == len(model.heads) == 2


def test_no_gradient_flows_through_the_unconditional_branch(guided, path, y, w):
    def by_hand(model):
        wide, h, total = w[:, None, None], model.start(path.z), 0.0
        units = [*model.state_units(), 1.0]
        heads = [*model.heads, model.out]
        for i, target in enumerate([*path.states, path.clean]):
            unconditional = model.run_stage(i, h, None).detach()
            h = model.run_stage(i, h, y, w)
            total = total + mse(heads[i]((h + wide * unconditional) / (1 + wide)), target / units[i])
        return total

    (loss, gradients), (expected, expected_gradients) = losses_and_gradients(
        guided, lambda m: hidden_alignment(m, path, y, w=w), by_hand
    )
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients, expected_gradients)
    assert set(gradients) == {name for name, _ in guided.named_parameters()}


def test_mixed_precision_loses_no_gradient(guided, path, y, w):
    model = guided.float()
    path = type(path)(path.clean.float(), [state.float() for state in path.states], path.z.float())

    def mixed(m):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return hidden_alignment(m, path, y, w=w.float())

    (_, full), (_, half) = losses_and_gradients(
        model, lambda m: hidden_alignment(m, path, y, w=w.float()), mixed
    )
    assert full.keys() == half.keys()
    for name in full:
        assert torch.nn.functional.cosine_similarity(full[name].flatten(), half[name].flatten(), dim=0) > 0.9


@pytest.mark.parametrize("probability", [1.0, 0.25])
def test_scales_are_uniform_with_a_probability_and_zero_without_a_label(probability):
    y = torch.arange(40_000) % 5 - 1
    drawn = draw_scales(y, 3.0, torch.Generator().manual_seed(0), probability)
    assert drawn[y < 0].eq(0).all()
    scales = drawn[drawn > 0]
    assert len(scales) / (y >= 0).sum() == pytest.approx(probability, abs=0.01)
    assert scales.max() < 3.0
    quartiles = scales.quantile(torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(quartiles, torch.tensor([0.75, 1.5, 2.25]), rtol=0, atol=0.06)


@pytest.mark.parametrize("probability", [1.0, 0.5])
@pytest.mark.parametrize("guidance_max", [0.0, W_MAX])
def test_the_training_loss_draws_scales_after_all_that_it_drew_without(
    build_model, flow, guidance_max, probability
):
    model, flow = build_model(guidance_max=guidance_max).float(), flow.float()
    images = torch.randint(
        0, 256, (5, 1, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    labels = torch.tensor([0, 1, 2, 3, 0])
    guidance = {"guidance_max": guidance_max, "guidance_prob": probability} if guidance_max else {}
    config = changed(CONFIG, class_dropout_prob=0.5, **guidance)
    loss = reverse_loss(flow, config)(model, images, labels, torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(7)
    x, noisy = add_noise(images, flow.spec.sigma, generator)
    y = drop_labels(labels, 0.5, generator)
    assert 0 < (y < 0).sum() < 5
    w = draw_scales(y, guidance_max, generator, probability) if guidance_max else None
    assert torch.equal(loss, hidden_alignment(model, trajectory(flow, x, noisy, y), y, w=w))


def test_guidance_needs_classes(flow, build_model):
    flow.spec = dataclasses.replace(flow.spec, n_classes=None)
    with pytest.raises(UserError, match="no classes to guide by"):
        reverse_spec(GUIDED, flow.spec)
    with pytest.raises(ValueError, match="guidance_max is 1.0; .* needs classes"):
        build_model(n_classes=None, guidance_max=1.0)


# Sampling.


def test_one_evaluation_is_told_the_scale_but_not_for_images_without_class(guided, z, y):
    out = make_sampler("biflow", guided).sample(z, y, guidance=1.5)
    w = torch.tensor([1.5, 1.5, 0.0, 1.5, 1.5], dtype=torch.float64)
    assert torch.equal(out.images, guided.to_images(guided(z, y, w)))
    assert out.nfe == 1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_evaluations_combine_every_stage(build_model, z, y, objective):
    model = build_model(projection=OBJECTIVES[objective].projection)
    h, w = model.start(z), 1.5
    for i in range(4):
        guided = (1 + w) * model.run_stage(i, h, y) - w * model.run_stage(i, h, None)
        h = model.next_hidden(i, guided)[0]
    sampler = make_sampler(registry.OBJECTIVES[objective], model, evaluations=2)
    out = sampler.sample(z, y, guidance=w)
    torch.testing.assert_close(out.images, model.to_images(model.out(h)))
    assert (out.nfe, sampler.settings) == (2, {"evaluations": 2})


def test_two_evaluations_give_a_guided_model_the_scale_zero(guided, z, y, w):
    told = []
    for scale in guided.scales:
        scale.register_forward_pre_hook(lambda _, inputs: told.append(inputs[0]))
    out = OneStep(guided, evaluations=2).sample(z, y, guidance=3.0)  # beyond what it is trained for
    assert out.nfe == 2
    assert len(told) == 4
    assert not any(scales.any() for scales in told)


@pytest.mark.parametrize("evaluations", [1, 2])
def test_guidance_does_nothing_to_images_without_class(guided, z, y, evaluations):
    sampler = OneStep(guided, evaluations=evaluations)
    assert sampler.settings == {"evaluations": evaluations}
    plain, out = sampler.sample(z, y), sampler.sample(z, y, guidance=1.5)
    assert (plain.nfe, out.nfe) == (1, evaluations)
    for i in range(5):
        assert torch.allclose(out.images[i], plain.images[i], rtol=0, atol=1e-12) == (y[i] < 0)


def test_two_evaluations_towards_no_class_are_the_plain_model(model, z):
    none, w = torch.full((5,), -1), torch.full((5,), 1.7, dtype=torch.float64)
    found = reverse_in_two_evaluations(model, z, none, w)
    torch.testing.assert_close(found, model(z), rtol=0, atol=1e-12)


@pytest.mark.parametrize("evaluations", [1, 2])
def test_image_i_is_the_same_at_any_batch_size(guided, evaluations):
    options = {"seed": 3, "n": 7, "device": torch.device("cpu"), "dtype": torch.float64, "guidance": 1.5}
    sampler = OneStep(guided, evaluations=evaluations)
    one_by_one, at_once = (draw(sampler, batch_size=size, **options) for size in (1, 7))
    torch.testing.assert_close(
        torch.from_numpy(one_by_one.images), torch.from_numpy(at_once.images), rtol=0, atol=1e-12
    )
    assert one_by_one.cost["nfe"] == at_once.cost["nfe"] == evaluations


def test_a_scale_that_is_not_allowed_is_refused_in_one_sentence(model, build_model, z, y):
    guided = build_model(guidance_max=W_MAX)
    for sampler, arguments, sentence in [
        (OneStep(model), (z, y, 1.0), "trained without guidance; set its scale to 0, or .*'evaluations: 2'"),
        (OneStep(guided), (z, y, 2.5), "trained with guidance up to 2, not 2.5; set its scale to 2"),
        (OneStep(guided), (z, None, 1.0), "guided towards classes, and there are none"),
        (OneStep(model, evaluations=2), (z, None, 1.0), "guided towards classes, and there are none"),
        (OneStep(build_model(n_classes=None), evaluations=2), (z, y, 1.0), "towards classes"),
        (OneStep(guided), (z, y, -1.0), "is -1; it must not be negative"),
    ]:
        with pytest.raises(UserError, match=sentence):
            sampler.sample(*arguments)
    with pytest.raises(UserError, match="'evaluations' of biflow is 3; it must be 1 or 2"):
        OneStep(model, evaluations=3)


def test_sampling_counts_the_parameters_of_the_scales(build_model):
    plain = build_model()
    for conditioning, constants in (("added", 0), ("extrapolated", 0), ("in-context", 16)):
        model = build_model(guidance_max=W_MAX, conditioning=conditioning)
        scales = 4 * (8 * 16 + constants)
        assert model.n_sampling_parameters() == plain.n_sampling_parameters() + scales
