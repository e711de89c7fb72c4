"""Closed forms of the likelihoods."""

import math

import pytest
import torch

from nfbench.measure.likelihood import (
    bits_limit,
    bits_per_dim,
    likelihood_rows,
    nll_nats_per_dim,
    noise_floor,
)

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


def test_rows_are_means_over_images_beside_their_limits():
    nll, bits = torch.tensor([1.0, 3.0, 2.0]), torch.tensor([6.0, 6.0])
    found = {row["metric"]: row for row in likelihood_rows(nll, bits, sigma=0.2)}
    assert (found["nll_nats_per_dim"]["value"], found["nll_nats_per_dim"]["n"]) == (2, 3)
    reach = 4.302652729911275 / math.sqrt(3)  # Student's quantile at two degrees of freedom, spread 1
    assert found["nll_nats_per_dim"]["high"] == pytest.approx(2 + reach)
    assert (found["bits_per_dim"]["value"], found["bits_per_dim"]["low"]) == (6, 6)
    assert found["nll_limit"]["value"] == noise_floor(0.2)
    assert found["bits_limit"]["value"] == bits_limit(0.2)


def test_bits_that_were_not_asked_for_have_no_row():
    found = [row["metric"] for row in likelihood_rows(torch.ones(3), None, sigma=0.2)]
    assert found == ["nll_nats_per_dim", "nll_limit"]


def test_a_likelihood_that_is_not_finite_has_no_value():
    bad = torch.tensor([1.0, math.inf])
    found = {row["metric"]: row for row in likelihood_rows(bad, bad, sigma=0.2)}
    for name in ("nll_nats_per_dim", "bits_per_dim"):
        assert (found[name]["value"], found[name]["flag"]) == (None, "non_finite")
