"""How class and guidance scale enter the stages of the reverse model."""

import pytest
import torch

from biflow import ReverseModel
from biflow.training import reverse_spec
from tests.biflow.toy import CONFIG, GUIDED, changed


@pytest.mark.parametrize("scaled", [True, False])
def test_a_fresh_in_context_stage_leaves_the_image_s_tokens_alone(flow, z, scaled):
    config = changed(GUIDED if scaled else CONFIG, conditioning="in-context")
    model = ReverseModel(reverse_spec(config, flow.spec)).double()
    w = torch.full((5,), 1.5, dtype=torch.float64) if scaled else None
    states = model.hidden_states(z, torch.tensor([0, 1, 2, 3, -1]), w)
    assert all(torch.equal(state, model.start(z)) for state in states)


def test_a_fresh_guided_model_does_not_know_the_scale(flow, z):
    model = ReverseModel(reverse_spec(GUIDED, flow.spec)).double()
    for w in (torch.zeros(5), torch.full((5,), 1.5)):
        states = model.hidden_states(z, None, w.double())
        assert torch.equal(states[-1], model.hidden_states(z, None)[-1])


def test_tokens_keep_their_own_place_beside_the_conditions(guided, z, y, w):
    order = torch.randperm(9, generator=torch.Generator().manual_seed(5))
    h, conditions = guided.start(z), (w, guided.scales[0](w))
    stage, cos, sin = guided.stages[0], guided.cos, guided.sin
    expected = stage(h, y, cos, sin, *conditions)
    assert expected.shape == h.shape
    torch.testing.assert_close(stage(h[:, order], y, cos[order], sin[order], *conditions), expected[:, order])
    assert not torch.allclose(stage(h[:, order], y, cos, sin, *conditions), expected[:, order])


def fresh_extrapolated(flow):
    """A model whose layers are the identity still: a stage adds the class's embedding and no more."""
    config = changed(GUIDED, conditioning="extrapolated")
    return ReverseModel(reverse_spec(config, flow.spec)).double()


def test_extrapolated_classes_guide_stages_that_are_linear_in_them_exactly(flow, z, y, w):
    model = fresh_extrapolated(flow)
    h, wide = model.start(z), w[:, None, None]
    guided = (1 + wide) * model.run_stage(0, h, y) - wide * model.run_stage(0, h, None)
    torch.testing.assert_close(model.run_stage(0, h, y, w), guided, rtol=0, atol=1e-14)
    assert not torch.allclose(guided, model.run_stage(0, h, y))


def test_images_with_a_class_leave_the_extrapolated_embedding_of_no_class_alone(flow, z, w):
    model = fresh_extrapolated(flow)
    y = torch.tensor([0, 3, 1, 2, 1])
    model.run_stage(0, model.start(z), y, w).sum().backward()
    gradient = model.stages[0].classes.weight.grad
    assert gradient[4].eq(0).all()
    assert gradient[:4].ne(0).all()


def test_class_and_scale_matter_in_any_conditioning(guided, z, y, w):
    base = guided(z, y, w)
    with_class = (y >= 0).nonzero().flatten()
    other_class = guided(z, torch.where(y >= 0, (y + 1) % 4, y), w)
    other_scale = guided(z, y, w + 0.1)
    for i in range(5):
        assert torch.equal(other_class[i], base[i]) == (i not in with_class)
        assert not torch.allclose(other_scale[i], base[i])


def test_in_context_conditions_are_tokens_of_the_stage(build_model, z, y):
    model = build_model(conditioning="in-context")
    stage = model.stages[0]
    token = stage.classes(torch.where(y < 0, 4, y))[:, None]
    h = torch.cat([token, model.start(z)], dim=1)
    cos = torch.cat([torch.ones(1, 4, dtype=torch.float64), model.cos])
    sin = torch.cat([torch.zeros(1, 4, dtype=torch.float64), model.sin])
    expected = stage.layers[0](h, cos, sin)[:, 1:]
    torch.testing.assert_close(model.run_stage(0, model.start(z), y), expected)


def test_a_plain_model_takes_no_scale(model, z, y, w):
    with pytest.raises(ValueError, match="takes no guidance scale"):
        model(z, y, w)
