"""Distances, and the weights of the terms of a loss."""

import pytest
import torch

from biflow.distances import adaptively_weighted, squared_error
from biflow.objectives import PLAIN, Terms, hidden_alignment, mse


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
    reversal = model.reverse(path.z, y)
    pairs = [(reversal.x, path.clean)]
    pairs += [(s, t / rms) for s, t, rms in zip(reversal.states, path.states, model.target_rms, strict=True)]
    expected = sum(adaptively_weighted(squared_error(*pair)) for pair in pairs)
    loss = hidden_alignment(model, path, y, Terms(adaptive_weight=True))
    torch.testing.assert_close(loss, expected)
    assert not torch.isclose(loss, hidden_alignment(model, path, y))


def test_plain_terms_are_mean_squared_errors(model, z, path):
    assert torch.equal(PLAIN.state(z, path.clean), mse(z, path.clean))
    assert torch.equal(PLAIN.output(model, z, path.clean), (z - path.clean).square().mean())
