import numpy as np
import pytest

from nfbench.data.datasets import load
from nfbench.data.fashion14 import (
    EMBEDDED,
    SHAPES,
    build_fashion14,
    pool2x2,
    read_fashion14,
    write_fashion14,
)
from nfbench.data.idx import DEBIAN_FOLDER
from nfbench.errors import UserError


def test_pooling_is_the_mean_of_four_rounded_half_up():
    images = np.array([[[0, 0, 255, 255], [0, 2, 255, 254], [1, 1, 0, 0], [0, 0, 0, 1]]], np.uint8)
    # means 0.5, 254.75, 0.5, 0.25; sums of four levels do not fit into 8 bits
    assert pool2x2(images).tolist() == [[[1, 255], [1, 0]]]


def test_odd_images_are_not_pooled():
    with pytest.raises(ValueError, match="3x4"):
        pool2x2(np.zeros((1, 3, 4), np.uint8))


def test_the_embedded_file_equals_what_the_original_files_give():
    if not DEBIAN_FOLDER.is_dir():
        pytest.skip(f"needs the IDX files of Fashion-MNIST in {DEBIAN_FOLDER}")
    built, embedded = build_fashion14(), read_fashion14()
    assert list(built) == list(SHAPES)
    for name in SHAPES:
        assert np.array_equal(built[name], embedded[name])


def test_a_cut_off_file_is_called_corrupt(tmp_path):
    (tmp_path / EMBEDDED.name).write_bytes(EMBEDDED.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"fashion14\.npz is corrupt"):
        load("fashion14", validation_size=0, folder=tmp_path)


def test_a_file_with_a_flipped_byte_is_called_corrupt(tmp_path):
    content = bytearray(EMBEDDED.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / EMBEDDED.name).write_bytes(content)
    with pytest.raises(UserError, match=r"fashion14\.npz is corrupt"):
        read_fashion14(tmp_path / EMBEDDED.name)


@pytest.mark.parametrize("content", [b"", b"not a zip file"])
def test_a_file_that_is_no_archive_is_called_corrupt(tmp_path, content):
    path = tmp_path / "fashion14.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is corrupt"):
        read_fashion14(path)


def test_a_missing_file_is_called_missing(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        read_fashion14(tmp_path / "fashion14.npz")


def test_other_data_of_the_right_form_are_refused(tmp_path):
    path = tmp_path / "fashion14.npz"
    write_fashion14(path, {name: np.zeros(shape, np.uint8) for name, shape in SHAPES.items()})
    assert [file.name for file in tmp_path.iterdir()] == ["fashion14.npz"]
    with pytest.raises(UserError, match="holds other data"):
        read_fashion14(path)
