"""The domain classifier: it learns, repeats itself, and comes back from its file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nfbench.config import VALIDATION
from nfbench.data.datasets import Splits
from nfbench.data.pixels import to_float
from nfbench.errors import UserError
from nfbench.files import sha256_file
from nfbench.measure.quality.classifier import (
    CLASSIFIER_SETTINGS,
    ClassifierSpec,
    DomainClassifier,
    accuracy,
    load_classifier,
    logits,
    predict,
    save_classifier,
    train_classifier,
)


def test_it_learns_the_digits(classifier: DomainClassifier, digits: Splits):
    assert accuracy(classifier, digits.test.images, digits.test.labels) > 0.93


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(digits: Splits):
    def weights(seed: int) -> torch.Tensor:
        few = digits.train.subset(range(128))
        model = train_classifier(few, digits.validation, seed=seed, epochs=1, batch_size=32, width=4)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    before = torch.get_rng_state()
    first, again, other = weights(3), weights(3), weights(4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())  # the caller's random numbers are untouched


def test_every_data_set_has_settings_that_the_training_takes(digits: Splits):
    assert set(CLASSIFIER_SETTINGS) == set(VALIDATION)
    few = digits.train.subset(range(128))
    for settings in CLASSIFIER_SETTINGS.values():
        lines: list[str] = []
        train_classifier(few, digits.validation, **settings | {"epochs": 1}, width=4, report=lines.append)
        assert len(lines) == 1


def test_progress_is_reported_after_every_epoch(digits: Splits):
    lines: list[str] = []
    few = digits.train.subset(range(64))
    train_classifier(few, digits.validation, epochs=2, batch_size=32, width=4, report=lines.append)
    assert len(lines) == 2
    assert "epoch 2/2" in lines[1]
    assert "validation accuracy" in lines[1]


def test_a_batch_larger_than_the_data_is_refused(digits: Splits):
    with pytest.raises(ValueError, match="batch_size"):
        train_classifier(digits.train.subset(range(8)), digits.validation, batch_size=9)


@pytest.mark.parametrize("image_size", [4, 8, 14, 28, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_image_size_gives_64_non_negative_features(image_size: int, channels: int):
    model = DomainClassifier(ClassifierSpec(channels, image_size, 5, width=4)).eval()
    x = torch.linspace(-1, 1, 2 * channels * image_size**2)
    features = model.features(x.reshape(2, channels, image_size, image_size))
    assert features.shape == (2, 64)
    assert (features >= 0).all()
    assert torch.equal(model.head(features), model(x.reshape(2, channels, image_size, image_size)))


def test_logits_do_not_depend_on_the_batch(classifier: DomainClassifier, digits: Splits):
    images = digits.test.images[:50]
    torch.testing.assert_close(
        logits(classifier, images, batch_size=50), logits(classifier, images, batch_size=7)
    )
    assert predict(classifier, images[:0]).shape == (0,)


def test_accuracy_is_the_share_of_right_labels(classifier: DomainClassifier, digits: Splits):
    images = digits.test.images[:40]
    right = predict(classifier, images)
    assert accuracy(classifier, images, right) == 1
    wrong = np.where(np.arange(40) < 10, (right + 1) % 10, right)
    assert accuracy(classifier, images, wrong) == 0.75
    with pytest.raises(ValueError, match="labels"):
        accuracy(classifier, images, right[:39])


def test_a_file_gives_back_the_same_model_and_equal_models_equal_bytes(
    classifier: DomainClassifier, classifier_path: Path, digits: Splits, tmp_path: Path
):
    loaded = load_classifier(classifier_path)
    x = to_float(digits.test.images[:5])
    assert torch.equal(loaded(x), classifier(x))
    save_classifier(tmp_path / "again.safetensors", loaded)
    assert sha256_file(tmp_path / "again.safetensors") == sha256_file(classifier_path)


def test_a_missing_file_is_named_in_the_error(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.safetensors is missing"):
        load_classifier(tmp_path / "none.safetensors")


@pytest.mark.parametrize("kept", [0, 7, 200, 5000])
def test_a_cut_file_is_said_to_be_corrupt(classifier_path: Path, tmp_path: Path, kept: int):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(classifier_path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"cut\.safetensors is corrupt"):
        load_classifier(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match="holds no classifier"):
        load_classifier(path)
