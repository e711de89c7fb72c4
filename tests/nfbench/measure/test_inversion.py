"""Errors of an inverse."""

import math

import pytest
import torch

from nfbench.measure.inversion import VISIBLE_LEVELS, finite_mean, mse_per_image, rms_per_image, visibly_off

SHAPE = (3, 1, 4, 4)


def test_a_constant_shift_has_its_square_as_error():
    a = torch.linspace(-1, 1, 48).reshape(SHAPE)
    shift = torch.tensor([0.0, 0.5, 2.0]).reshape(3, 1, 1, 1)
    assert mse_per_image(a + shift, a).tolist() == pytest.approx([0, 0.25, 4], abs=1e-6)
    assert rms_per_image(a + shift, a).tolist() == pytest.approx([0, 0.5, 2], abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_non_finite_image_is_nan_and_counted_and_spoils_no_other(bad: float, side: int):
    pair = [torch.zeros(SHAPE), torch.ones(SHAPE)]
    pair[side][1, 0, 2, 2] = bad
    errors = mse_per_image(*pair)
    assert errors.isnan().tolist() == [False, True, False]
    assert finite_mean(errors) == (1.0, 1)


def test_the_mean_over_nothing_finite_is_nan():
    mean, bad = finite_mean(torch.tensor([math.nan, math.inf]))
    assert math.isnan(mean)
    assert bad == 2


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


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_an_image_that_is_not_finite_is_off(bad: float, side: int):
    pair = [torch.zeros(SHAPE), torch.zeros(SHAPE)]
    pair[side][1, 0, 2, 2] = bad
    assert visibly_off(*pair).tolist() == [False, True, False]


def test_images_of_other_shapes_are_not_looked_at():
    with pytest.raises(ValueError, match="compare"):
        visibly_off(torch.zeros(SHAPE), torch.zeros(3, 1, 4, 5))
