import hashlib
from collections import Counter

import numpy as np
import pytest

from nfbench.data import datasets as module
from nfbench.data.datasets import Dataset, balanced_indices, datasets, load, load_section
from nfbench.data.digits import read_digits
from nfbench.data.idx import DEBIAN_FOLDER
from nfbench.errors import UserError

LABELS = np.repeat(np.arange(4), [10, 12, 14, 16])

# (validation size, images per class of it, sha256 of train, validation and test)
EXPECTED = {
    "fashion14": (
        5000,
        500,
        "6f5de09fd2e3f3ca71baa6a61650a641b8f401593b4eed35a2d5c2f4f2a8b8d1",
        "b316eea57496da53fb9f521bd637e2ababda665cfd176cf5d69dbab87b0903ed",
        "c4dd568c26106bd9d382efc6e446381549611b92d9cf1793c00a9a49cf65a854",
    ),
    "fashion": (
        5000,
        500,
        "0017dcaeca7a90b13dd2c70905b3c567a3d62707bd80fcf41abe5cab9ac30324",
        "77701bc1b822029f32a169da2942477e65126ef68a9e629f0561cdc4a34a4d2f",
        "9a494dc49efeb996f4076c469b31cd058152067b1594ba6ab85dd739fce3775e",
    ),
    "digits": (
        200,
        20,
        "1b332ca9fe1013d48f0dee34a910705a779c4aeda45c4ab49e42c6a1a4f4f150",
        "58d26c4f7239c05614f3e9235fd683dc55abbaab5283382c90caebc04e128014",
        "9a15cb8b84f3dad5bd85d9f6085b5bb043cc7438c3bb322c9cfbebc863ecbb61",
    ),
}


def images_of(*parts: Dataset) -> Counter:
    return Counter(image.tobytes() for part in parts for image in part.images)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_splits_are_those_that_results_were_made_with(name):
    if name == "fashion" and not DEBIAN_FOLDER.is_dir():
        pytest.skip(f"needs the IDX files of Fashion-MNIST in {DEBIAN_FOLDER}")
    validation_size, per_class, *hashes = EXPECTED[name]
    splits = load(name, validation_size=validation_size)
    assert np.bincount(splits.validation.labels).tolist() == [per_class] * 10
    assert [splits.train.sha256, splits.validation.sha256, splits.test.sha256] == hashes


@pytest.mark.parametrize("name", ["fashion14", "digits"])
def test_train_and_validation_together_are_the_training_part(name):
    whole = load(name, validation_size=0)
    split = load(name, validation_size=100)
    assert len(whole.validation) == 0
    assert images_of(split.train, split.validation) == images_of(whole.train)
    assert split.test.sha256 == whole.test.sha256


def test_a_smaller_validation_part_lies_in_a_larger_one():
    small = load("digits", validation_size=73).validation
    large = load("digits", validation_size=200).validation
    assert images_of(small) <= images_of(large)


def test_splits_know_their_image_size_channels_and_classes():
    splits = load("fashion14", validation_size=10)
    assert (splits.image_size, splits.channels, splits.n_classes) == (14, 1, 10)
    assert splits.train.name == "fashion14/train"
    assert splits.test.classes[9] == "Ankle boot"


def test_the_section_of_an_experiment_names_images_and_how_many_are_held_out():
    standard = load_section({"name": "digits"})
    assert len(standard.validation) == 200
    assert load_section({"name": "digits", "validation": 0}).test.sha256 == standard.test.sha256
    assert len(load_section({"name": "digits", "validation": 30}).validation) == 30


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    images, labels = read_digits()
    bunch = load_digits()
    assert np.array_equal(images, np.round(bunch.images * 255 / 16))
    assert np.array_equal(labels, bunch.target)


def test_every_listed_data_set_has_a_line_on_it():
    assert list(datasets()) == ["fashion14", "fashion", "digits"]
    assert all(datasets().values())


def test_a_misspelt_data_set_is_named_with_the_closest_known():
    with pytest.raises(UserError, match=r"'fashon14'.*'fashion14'"):
        load("fashon14", validation_size=0)


def test_digits_refuse_a_folder_that_they_would_ignore(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        load("digits", validation_size=0, folder=tmp_path)


@pytest.mark.parametrize("size", [-1, 1397, 10**6])
def test_a_validation_part_that_leaves_no_training_images_is_refused(size):
    with pytest.raises(UserError, match=r"validation_size of digits must be in 0 \.\. 1396"):
        load("digits", validation_size=size)


@pytest.mark.parametrize("n", [0, 1, 4, 7, 40])
def test_balanced_counts_differ_by_at_most_one(n):
    indices = balanced_indices(LABELS, n, seed=0)
    counts = np.bincount(LABELS[indices], minlength=4)
    assert len(np.unique(indices)) == n
    assert counts.max() - counts.min() <= 1
    assert np.array_equal(indices, np.sort(indices))


def test_balanced_indices_depend_on_the_seed_alone():
    first = balanced_indices(LABELS, 12, seed=1)
    assert np.array_equal(first, balanced_indices(LABELS, 12, seed=1))
    assert not np.array_equal(first, balanced_indices(LABELS, 12, seed=2))


def test_a_smaller_balanced_choice_lies_in_a_larger_one():
    choices = [set(balanced_indices(LABELS, n, seed=5).tolist()) for n in range(41)]
    assert all(small < large for small, large in zip(choices, choices[1:], strict=False))


def test_asking_for_all_images_returns_all_even_if_unbalanced():
    assert np.array_equal(balanced_indices(LABELS, 52, seed=0), np.arange(52))


def test_too_small_a_class_is_named_with_its_count():
    with pytest.raises(UserError, match="11 of class 0, but there are 10"):
        balanced_indices(LABELS, 44, seed=0)


@pytest.mark.parametrize("n", [-1, 53])
def test_more_images_than_there_are_is_refused(n):
    with pytest.raises(UserError, match="there are 52"):
        balanced_indices(LABELS, n, seed=0)


def test_a_subset_keeps_the_asked_order_and_shares_no_memory():
    data = load("digits", validation_size=0).test
    subset = data.subset([5, 2])
    assert np.array_equal(subset.images, data.images[[5, 2]])
    assert np.array_equal(subset.labels, data.labels[[5, 2]])
    assert not np.shares_memory(subset.images, data.images)


def test_the_hash_is_of_image_and_label_bytes_and_sees_both():
    images = np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2)
    labels = np.array([0, 1])
    data = Dataset("toy", images, labels, ("a", "b"))
    assert data.sha256 == hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    assert data.sha256 != Dataset("toy", images, labels[::-1], ("a", "b")).sha256


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 1, 2, 2)), np.zeros(2, dtype=np.int64)),
        (np.zeros((2, 2, 2), dtype=np.uint8), np.zeros(2, dtype=np.int64)),
        (np.zeros((2, 1, 2, 2), dtype=np.uint8), np.zeros(3, dtype=np.int64)),
        (np.zeros((2, 1, 2, 2), dtype=np.uint8), np.zeros(2, dtype=np.uint8)),
    ],
)
def test_arrays_of_another_form_are_refused(images, labels):
    with pytest.raises(ValueError, match="toy: (images|labels) must be"):
        Dataset("toy", images, labels, ("a",))


def test_altered_digits_are_refused(monkeypatch):
    monkeypatch.setattr(module.digits, "CONTENT_SHA256", "0" * 64)
    with pytest.raises(UserError, match="sha256"):
        load("digits", validation_size=0)
