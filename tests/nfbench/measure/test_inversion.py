"""Errors of an inverse."""

import math
from types import SimpleNamespace

import pytest
import torch

from nfbench.data.noise import latent_noise
from nfbench.measure.inversion import (
    VISIBLE_LEVELS,
    inversion_rows,
    mse_per_image,
    residual_row,
    visibly_off,
)

SHAPE = (3, 1, 4, 4)


def test_a_constant_shift_has_its_square_as_error():
    a = torch.linspace(-1, 1, 48).reshape(SHAPE)
    shift = torch.tensor([0.0, 0.5, 2.0]).reshape(3, 1, 1, 1)
    assert mse_per_image(a + shift, a).tolist() == pytest.approx([0, 0.25, 4], abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_non_finite_image_is_nan_and_off_and_spoils_no_other(bad: float, side: int):
    pair = [torch.zeros(SHAPE), torch.zeros(SHAPE)]
    pair[side][1, 0, 2, 2] = bad
    assert mse_per_image(*pair).isnan().tolist() == [False, True, False]
    assert visibly_off(*pair).tolist() == [False, True, False]
    error, share = inversion_rows(*pair)
    assert (error["value"], error["flag"]) == (None, "non_finite")
    assert share["value"] == pytest.approx(1 / 3)


def test_float32_images_are_compared_in_float64():
    a = torch.full(SHAPE, 1.0)
    b = a + 2**-23
    assert mse_per_image(a, b).tolist() == [2.0**-46] * 3


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="compare"):
        mse_per_image(torch.zeros(SHAPE), torch.zeros(3, 16))


def grey(levels: list[int]) -> torch.Tensor:
    """Return images of one pixel that is off by so many grey levels, (B, 1, 4, 4) in [-1, 1]."""
    images = torch.zeros(len(levels), 1, 4, 4)
    images[:, 0, 1, 2] = torch.tensor(levels) / 127.5
    return images - 0.5 / 127.5  # a stored grey level, of 255, is the middle of what rounds to it


def test_one_pixel_off_by_more_than_the_visible_levels_is_seen_and_no_less():
    levels = [0, VISIBLE_LEVELS, VISIBLE_LEVELS + 1, -VISIBLE_LEVELS - 1, 100]
    assert visibly_off(grey(levels), grey([0] * 5)).tolist() == [False, False, True, True, True]


def test_what_the_clamp_takes_away_is_not_seen():
    assert not visibly_off(torch.full(SHAPE, 3.0), torch.full(SHAPE, 1.0)).any()


def test_rows_hold_the_mean_error_within_its_interval_and_the_share_of_visible_ones():
    a, shift = torch.zeros(4, 1, 4, 4), torch.tensor([0.0, 0.0, 0.0, 0.4])
    error, share = inversion_rows(a + shift.reshape(4, 1, 1, 1), a)
    assert error["value"] == pytest.approx(0.04)
    assert error["low"] < error["value"] < error["high"]
    assert (share["value"], share["n"], error["n"]) == (0.25, 4, 4)


class Halve:
    """A flow that sends images of one token to half of their values."""

    spec = SimpleNamespace(n_tokens=1, token_dim=4)
    var = torch.full((1, 4), 0.25)  # divides by a standard deviation of one half

    def encode(self, x: torch.Tensor, y: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(z=x.reshape(len(x), 1, 4) / 2)


def test_the_residual_is_zero_for_an_exact_inverse_and_the_shift_of_a_shifted_one():
    images = latent_noise(3, range(6), (1, 4)).reshape(6, 1, 2, 2)
    labels = torch.zeros(6, dtype=torch.int64)
    assert residual_row(Halve(), images, labels, seed=3)["value"] == pytest.approx(0, abs=1e-12)
    assert residual_row(Halve(), images + 0.5, labels, seed=3)["value"] == pytest.approx(0.5)
    assert residual_row(Halve(), images, labels, seed=4)["value"] > 0.5
    images[2, 0, 0, 0] = math.nan
    broken = residual_row(Halve(), images, labels, seed=3)
    assert (broken["value"], broken["flag"]) == (None, "non_finite")


def test_images_of_other_shapes_are_not_looked_at():
    with pytest.raises(ValueError, match="compare"):
        visibly_off(torch.zeros(SHAPE), torch.zeros(3, 1, 4, 5))
