"""Sample sets: drawn by (seed, i), clamped once, counted, stored whole."""

import numpy as np
import pytest
import torch

from nfbench.data.datasets import Dataset
from nfbench.errors import UserError
from nfbench.sample.real_images import class_means, real_images
from nfbench.sample.sample_set import (
    Draw,
    draw,
    read_draw,
    read_sample_set,
    to_sample_set,
    write_draw,
    write_sample_set,
)
from nfbench.sample.sampler import Sampled

CPU = torch.device("cpu")
COST = {"nfe": 1.0, "token_steps": None, "iterations": None, "score_evaluations": 0.0}


class Echo:
    """Shows its noise as images of 2x2 pixels, shifted by the class."""

    name = "echo"
    latent_shape = (4, 1)
    n_classes = 3
    n_parameters = 0

    def sample(self, z, y, guidance=0.0):
        return Sampled(z.reshape(len(z), 1, 2, 2) + y[:, None, None, None], nfe=2.0, token_steps=5)


def test_noise_and_labels_depend_on_seed_and_index_alone_bit_for_bit():
    one, many = (draw(Echo(), seed=1, n=9, batch_size=size, device=CPU) for size in (1, 4))
    assert np.array_equal(one.images, many.images)
    assert np.array_equal(one.labels, np.arange(9) % 3)
    assert not np.array_equal(one.images, draw(Echo(), seed=2, n=9, batch_size=9, device=CPU).images)
    assert one.cost == {"nfe": 2.0, "token_steps": 5.0, "iterations": None, "score_evaluations": 0.0}


def test_conversion_clamps_once_and_counts_values():
    images = np.zeros((2, 1, 2, 2), dtype=np.float32)
    images[0, 0, 0] = [1.5, -1.0]
    images[1, 0, 1] = [-1.001, 1.0]
    samples = to_sample_set(Draw(images, np.arange(2), COST), {"sampler": "x"})
    assert samples.images[0, 0, 0].tolist() == [255, 0]
    assert samples.images[1, 0, 1].tolist() == [0, 255]
    assert samples.images[0, 0, 1].tolist() == [128, 128]
    assert samples.meta == {"sampler": "x", "n": 2, "non_finite": 0, "clipped": 2, "cost": COST}


def test_images_with_a_non_finite_value_are_counted_and_black():
    images = np.ones((3, 1, 2, 2), dtype=np.float32)
    images[0, 0, 0, 0] = np.nan
    images[2, 0, 1, 1] = np.inf
    samples = to_sample_set(Draw(images, np.arange(3), COST), {})
    assert samples.meta["non_finite"] == 2
    assert samples.images.reshape(3, -1).max(axis=1).tolist() == [0, 255, 0]


def test_files_round_trip(tmp_path):
    drawn = draw(Echo(), seed=0, n=5, batch_size=5, device=CPU)
    samples = to_sample_set(drawn, {"sampler": "echo", "seed": 0})
    write_sample_set(tmp_path / "s.npz", samples)
    write_draw(tmp_path / "s.npy", drawn.images)
    read = read_sample_set(tmp_path / "s.npz")
    assert np.array_equal(read.images, samples.images)
    assert np.array_equal(read.labels, samples.labels)
    assert read.meta == samples.meta
    assert np.array_equal(read_draw(tmp_path / "s.npy"), drawn.images)


def test_missing_and_corrupt_files_are_told(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_sample_set(tmp_path / "none.npz")
    with pytest.raises(UserError, match="do not exist"):
        read_draw(tmp_path / "none.npy")
    write_sample_set(
        tmp_path / "s.npz", to_sample_set(draw(Echo(), seed=0, n=5, batch_size=5, device=CPU), {})
    )
    whole = (tmp_path / "s.npz").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text"):
        (tmp_path / "s.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"s\.npz is no sample set or is corrupt"):
            read_sample_set(tmp_path / "s.npz")
    (tmp_path / "s.npy").write_bytes(b"text")
    with pytest.raises(UserError, match=r"s\.npy is corrupt"):
        read_draw(tmp_path / "s.npy")


def test_real_images_carry_noise_that_depends_on_the_index_alone():
    images = np.full((6, 1, 2, 2), 100, dtype=np.uint8)
    data = Dataset("toy", images, np.arange(6, dtype=np.int64) % 3, ("a", "b", "c"))
    clean = to_sample_set(real_images(data, 0.0, 0), {})
    assert np.array_equal(clean.images, images)
    noisy, again = (real_images(data.subset(range(n)), 0.1, 0).images for n in (6, 4))
    assert np.array_equal(noisy[:4], again)
    assert 0.05 < (noisy - real_images(data, 0.0, 0).images).std() < 0.2


def test_class_means_are_the_mean_of_each_class_with_its_label():
    grey = np.array([0, 10, 20, 40, 200, 240], dtype=np.uint8)  # classes a, b, c, a, b, c
    images = np.broadcast_to(grey[:, None, None, None], (6, 1, 2, 2)).copy()
    data = Dataset("toy", images, np.arange(6, dtype=np.int64) % 3, ("a", "b", "c"))
    samples = to_sample_set(class_means(data, 7), {})
    assert samples.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert samples.images[:, 0, 1, 1].tolist() == [20, 105, 130, 20, 105, 130, 20]
    with pytest.raises(UserError, match="no image of class 'c'"):
        class_means(data.subset([0, 1]), 7)
