import numpy as np
import pytest
import torch

from nfbench.data.pixels import dequantise, to_float, to_shown, to_uint8

GREY = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_grey_level_survives_the_round_trip(dtype):
    images, clipped = to_uint8(to_float(GREY, dtype))
    assert torch.equal(images, GREY)
    assert clipped.tolist() == [0]


def test_grey_levels_fill_minus_one_to_one_evenly():
    x = to_float(GREY, torch.float64).flatten()
    assert (x[0], x[-1]) == (-1.0, 1.0)
    torch.testing.assert_close(x.diff(), torch.full((255,), 2 / 255, dtype=torch.float64), rtol=0, atol=1e-15)


def test_arrays_and_tensors_give_the_same_float32_values():
    array = GREY.numpy().copy()
    array.flags.writeable = False
    assert to_float(array).dtype == torch.float32
    assert torch.equal(to_float(array), to_float(GREY))


def test_dequantised_values_lie_in_the_bin_of_their_grey_level():
    u = torch.rand(GREY.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = dequantise(GREY, u)
    assert x.min() >= -1
    assert x.max() < 1
    assert torch.equal(((x + 1) * 128).floor().to(torch.uint8), GREY)
    torch.testing.assert_close(x, 2 * (GREY.double() + u) / 256 - 1, rtol=0, atol=1e-15)


def test_clipped_counts_the_values_outside_the_range_of_each_image():
    x = torch.zeros(3, 2, 2, 2)
    x[1, 0, 0, 0] = 1.0  # the border itself is inside
    x[1, 0, 0, 1] = 1.0001
    x[2, 1] = -7.0
    images, clipped = to_uint8(x)
    assert clipped.dtype == torch.int64
    assert clipped.tolist() == [0, 1, 4]
    assert images[1, 0, 0].tolist() == [255, 255]
    assert images[2, 1].unique().tolist() == [0]


def test_the_argument_is_left_unchanged():
    x = torch.full((1, 1, 2, 2), 3.0)
    to_uint8(x)
    assert torch.equal(x, torch.full((1, 1, 2, 2), 3.0))


def test_half_precision_images_round_as_their_float32_values():
    x = to_float(GREY).to(torch.bfloat16)
    assert torch.equal(to_uint8(x)[0], to_uint8(x.float())[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_values_are_refused(value):
    with pytest.raises(ValueError, match="non-finite"):
        to_uint8(torch.tensor([0.0, value]).reshape(1, 1, 1, 2))


def test_only_uint8_images_are_accepted():
    with pytest.raises(TypeError, match="uint8"):
        to_float(np.zeros((1, 1, 2, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="shape"):
        dequantise(GREY, torch.zeros(1))


def test_what_is_shown_is_clamped_and_black_where_an_image_is_not_finite():
    x = torch.tensor([[-3.0, 1.0], [0.5, float("nan")]]).reshape(2, 1, 1, 2)
    assert to_shown(x).reshape(2, 2).tolist() == [[0, 255], [0, 0]]
