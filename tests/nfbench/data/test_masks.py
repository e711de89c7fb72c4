"""Masks hide what their names say."""

import pytest
import torch

from nfbench.data.tokens import centre_square, half_of_tokens, images_to_tokens, right_half


@pytest.mark.parametrize(("size", "side"), [(8, 4), (14, 8), (28, 14)])
def test_the_centre_square_is_a_square_in_the_centre(size, side):
    hidden = centre_square(size)
    assert hidden.sum() == side**2
    for turned in (hidden.T, hidden.flip(0), hidden.flip(1)):
        assert torch.equal(turned, hidden)


@pytest.mark.parametrize(("size", "columns"), [(8, 4), (14, 7), (7, 4)])
def test_the_right_half_is_its_columns(size, columns):
    hidden = right_half(size)
    assert hidden.all(dim=0).tolist() == [False] * (size - columns) + [True] * columns
    assert torch.equal(hidden.any(dim=0), hidden.all(dim=0))


def test_the_tokens_of_lowest_priority_are_hidden_whole():
    priority = torch.tensor([[0.1, 0.9, 0.5, 0.2], [3.0, 1.0, 1.0, 1.0]])
    hidden = half_of_tokens(priority, patch_size=2)
    assert hidden.shape == (2, 1, 4, 4)
    tokens = images_to_tokens(hidden, 2)
    expected = torch.tensor([[True, False, False, True], [False, True, True, False]])
    assert torch.equal(tokens.all(dim=2), expected)
    assert torch.equal(tokens.any(dim=2), expected)


def test_of_an_odd_number_of_tokens_one_fewer_is_hidden():
    assert half_of_tokens(torch.rand(3, 9), patch_size=2).sum(dim=(1, 2, 3)).tolist() == [16] * 3
