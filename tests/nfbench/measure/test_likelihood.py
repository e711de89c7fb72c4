"""Closed forms of the likelihoods."""

import math

import pytest
import torch

from nfbench.measure.likelihood import bits_limit, bits_per_dim, nll_nats_per_dim, noise_floor, over_draws

SHAPE = (3, 7, 4)  # images, tokens, values per token


@pytest.mark.parametrize("sigma", [0.05, 0.2, 1.7])
def test_the_true_density_of_gaussian_noise_reaches_the_noise_floor(sigma: float):
    z = torch.randn(4000, 7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logdet = torch.full((4000,), -math.log(sigma), dtype=torch.float64)  # z = x / sigma
    assert nll_nats_per_dim(z, logdet).mean().item() == pytest.approx(noise_floor(sigma), abs=5e-3)


def test_nll_is_the_negative_log_density_of_torch():
    x = torch.linspace(-2, 2, 84, dtype=torch.float64).reshape(SHAPE)
    scale = torch.tensor(0.7, dtype=torch.float64)
    z, logdet = (x - 0.3) / 0.7, torch.full((3,), -math.log(0.7), dtype=torch.float64)
    expected = -torch.distributions.Normal(0.3 + 0 * scale, scale).log_prob(x).mean(dim=(1, 2))
    torch.testing.assert_close(nll_nats_per_dim(z, logdet), expected, rtol=0, atol=1e-12)


def test_a_prior_variance_is_that_of_the_gaussian():
    z = torch.linspace(-2, 2, 84, dtype=torch.float64).reshape(SHAPE)
    variance = torch.linspace(0.5, 2, 28, dtype=torch.float64).reshape(SHAPE[1:])
    expected = -torch.distributions.Normal(0, variance.sqrt()).log_prob(z).mean(dim=(1, 2))
    got = nll_nats_per_dim(z, torch.zeros(3), variance)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_a_uniform_density_costs_eight_bits():
    uniform = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    normal = torch.distributions.Normal(0, 1)
    z = normal.icdf(uniform)  # x = 2 uniform - 1
    logdet = (-normal.log_prob(z) - math.log(2)).mean(dim=(1, 2))
    torch.testing.assert_close(
        bits_per_dim(z, logdet), torch.full((3,), 8.0, dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_a_sharp_flow_seen_through_its_noise_is_at_the_bits_limit():
    z = torch.zeros(SHAPE)  # the clean image is the peak of the noise's density
    logdet = torch.full((3,), -math.log(0.2), dtype=torch.float64)
    assert bits_per_dim(z, logdet).tolist() == pytest.approx([bits_limit(0.2)] * 3, abs=1e-12)


def test_each_image_is_on_its_own_and_a_bad_one_shows():
    z = torch.ones(SHAPE)
    z[1, 0, 0] = torch.inf
    got = nll_nats_per_dim(z, torch.zeros(3))
    assert got.isfinite().tolist() == [True, False, True]


def test_a_logdet_per_token_is_refused():
    with pytest.raises(ValueError, match="logdet"):
        nll_nats_per_dim(torch.zeros(SHAPE), torch.zeros(3, 7))


def test_the_errors_over_images_and_over_draws_are_those_of_the_two_sources_of_spread():
    rng = torch.Generator().manual_seed(0)
    draws, n, of_images, of_noise = 50, 2000, 1.0, 3.0
    images = of_images * torch.randn(1, n, generator=rng, dtype=torch.float64)
    noise = of_noise * torch.randn(draws, n, generator=rng, dtype=torch.float64)
    found = over_draws(2 + images + noise)
    assert found["mean"] == pytest.approx(2, abs=5 * found["standard_error_images"])
    # What the draws leave in the mean of an image is part of what varies from image to image.
    over_images = math.sqrt((of_images**2 + of_noise**2 / draws) / n)
    assert found["standard_error_images"] == pytest.approx(over_images, rel=0.1)
    assert found["standard_error_draws"] == pytest.approx(of_noise / math.sqrt(n * draws), rel=0.3)
    assert (found["draws"], found["n"]) == (draws, n)


def test_one_draw_has_no_error_over_draws_and_what_is_not_finite_no_value():
    once = over_draws(torch.tensor([[1.0, 3.0]]))
    assert (once["mean"], once["standard_error_images"], once["standard_error_draws"]) == (2, 1, None)
    bad = over_draws(torch.tensor([[1.0, math.inf], [1.0, 2.0]]))
    assert (bad["mean"], bad["standard_error_images"], bad["standard_error_draws"]) == (None, None, None)
