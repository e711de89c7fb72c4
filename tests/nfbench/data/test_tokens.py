import pytest
import torch

from nfbench.data.tokens import images_to_tokens, tokens_to_images


@pytest.mark.parametrize(
    ("channels", "image_size", "patch_size"), [(1, 14, 2), (3, 8, 4), (3, 6, 1), (2, 5, 5)]
)
def test_tokens_to_images_undoes_images_to_tokens(channels, image_size, patch_size):
    x = torch.arange(2.0 * channels * image_size**2).reshape(2, channels, image_size, image_size)
    tokens = images_to_tokens(x, patch_size)
    assert tokens.shape == (2, (image_size // patch_size) ** 2, channels * patch_size**2)
    assert torch.equal(tokens_to_images(tokens, patch_size, channels), x)


def test_tokens_are_in_raster_order_and_channel_is_slowest_inside():
    image = torch.zeros(1, 3, 6, 6, dtype=torch.int64)
    for channel in range(3):
        for row in range(6):
            for column in range(6):
                image[0, channel, row, column] = 100 * channel + 10 * row + column
    tokens = images_to_tokens(image, 2)
    # Token 5 is the patch in the second row of patches, third column.
    assert tokens[0, 5].tolist() == [
        24, 25, 34, 35, 124, 125, 134, 135, 224, 225, 234, 235,
    ]  # fmt: skip


@pytest.mark.parametrize(("shape", "patch_size"), [((1, 1, 14, 14), 4), ((1, 1, 4, 8), 4)])
def test_images_that_patches_do_not_tile_are_refused(shape, patch_size):
    with pytest.raises(ValueError, match="divide|square"):
        images_to_tokens(torch.zeros(shape), patch_size)


@pytest.mark.parametrize("shape", [(1, 48, 4), (1, 49, 5)])
def test_tokens_that_make_no_square_image_are_refused(shape):
    with pytest.raises(ValueError, match="square|patches"):
        tokens_to_images(torch.zeros(shape), 2, 1)
