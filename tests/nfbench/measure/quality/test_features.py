"""The feature spaces: equal to the published network, and to themselves in any batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from nfbench.data.datasets import Splits
from nfbench.data.pixels import to_float
from nfbench.errors import UserError
from nfbench.files import sha256_file
from nfbench.measure.quality import efficientnet, features
from nfbench.measure.quality.classifier import DomainClassifier, save_classifier
from nfbench.measure.quality.features import EfficientNetExtractor, ImageDataset, extract, weights_sha256


def relative_error(got: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a share of the largest value."""
    return ((got - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("image_size", [64, 100])
def test_the_rewritten_network_equals_the_published_one(image_size: int):
    published = efficientnet.load_published(image_size)
    x = torch.randn(3, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = published.extract_features(x).mean(dim=(2, 3))
        got = efficientnet.pooled_features(published)(x)
    assert got.shape == (3, efficientnet.FEATURES)
    assert relative_error(got, expected) < 1e-4


def test_rewriting_leaves_the_published_network_as_it_was():
    published = efficientnet.load_published(64)
    before = {name: value.clone() for name, value in published.state_dict().items()}
    efficientnet.pooled_features(published)
    after = published.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_other_weights_than_the_published_are_refused(tmp_path: Path, monkeypatch):
    other = tmp_path / "weights.pth"
    other.write_bytes(b"other")
    monkeypatch.setattr(efficientnet, "weights_path", lambda: other)
    with pytest.raises(UserError, match="reinstall"):
        efficientnet.load_published(64)


def test_an_image_of_the_networks_size_is_only_normalised(digits: Splits):
    extractor = EfficientNetExtractor("nfbench-effnet", [features.LAYER], image_size=32).eval()
    images = torch.from_numpy(np.tile(digits.test.images[:2], (1, 3, 4, 4)))
    with torch.no_grad():
        (got,) = extractor(images)
        expected = extractor.network((images.float() - 127) / 128)
    assert relative_error(got, expected) < 1e-4


def test_effnet_features_do_not_depend_on_the_batch(digits: Splits):
    images = digits.test.images[:9]
    whole, parts = extract("effnet", images), extract("effnet", images, batch_size=4)
    assert whole.shape == (9, 1280)
    assert whole.dtype == np.float32
    assert np.abs(whole - parts).max() < 1e-4 * np.abs(whole).max()
    assert np.abs(whole - extract("effnet", images[::-1])[::-1]).max() < 1e-4 * np.abs(whole).max()


def test_equal_images_are_computed_once():
    images, lines = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8), []
    again = images[[1, 0, 1, 1, 2]]
    got = extract("effnet", again, report=lines.append)
    np.testing.assert_array_equal(got, extract("effnet", images[[1, 0, 2]])[[0, 1, 0, 0, 2]])
    assert "3/3 images" in lines[-1]


def test_grey_is_colour_of_three_equal_channels(digits: Splits):
    grey = digits.test.images[:3]
    np.testing.assert_array_equal(extract("effnet", grey), extract("effnet", np.repeat(grey, 3, axis=1)))


def test_classifier_features_are_those_of_the_model(
    classifier: DomainClassifier, classifier_path: Path, digits: Splits
):
    images = digits.test.images[:20]
    got = extract("classifier", images, classifier=classifier_path, batch_size=6)
    with torch.no_grad():
        expected = classifier.features(to_float(images)).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_images_of_another_size_do_not_fit_the_classifier(classifier_path: Path):
    with pytest.raises(ValueError, match="do not fit"):
        extract("classifier", np.zeros((2, 1, 14, 14), np.uint8), classifier=classifier_path)


def test_features_that_are_not_finite_raise(classifier_path: Path, digits: Splits, tmp_path: Path):
    broken = features.domain.load_classifier(classifier_path)
    torch.nn.init.constant_(broken.trunk[0].weight, torch.nan)
    save_classifier(tmp_path / "nan.safetensors", broken)
    with pytest.raises(ValueError, match="features of 3 images, first 0, are not finite"):
        extract("classifier", digits.test.images[:3], classifier=tmp_path / "nan.safetensors")


def test_spaces_are_registered_once_however_often_it_is_asked():
    before = dict(FEATURE_EXTRACTORS_REGISTRY)
    features.register_extractors()
    assert before == FEATURE_EXTRACTORS_REGISTRY
    assert {features.extractor_name(space) for space in features.spaces()} <= set(before)


def test_weights_are_known_by_their_hash(classifier_path: Path):
    assert weights_sha256("effnet") == efficientnet.WEIGHTS_SHA256
    assert weights_sha256("classifier", classifier_path) == sha256_file(classifier_path)


def test_a_misspelt_space_is_named_in_the_error(digits: Splits):
    with pytest.raises(UserError, match="did you mean 'effnet'"):
        extract("efnet", digits.test.images[:1])


def test_a_missing_classifier_is_a_users_mistake(digits: Splits, tmp_path: Path):
    with pytest.raises(UserError, match="needs the classifier's file"):
        extract("classifier", digits.test.images[:1])
    with pytest.raises(UserError, match="missing"):
        extract("classifier", digits.test.images[:1], classifier=tmp_path / "none")
    with pytest.raises(UserError, match="missing"):
        weights_sha256("classifier", tmp_path / "none")


@pytest.mark.parametrize(
    "images", [np.zeros((2, 1, 8, 8)), np.zeros((2, 2, 8, 8), np.uint8), np.zeros((2, 8), np.uint8)]
)
def test_images_must_be_uint8_of_one_or_three_channels(images: np.ndarray):
    with pytest.raises(ValueError, match="uint8"):
        ImageDataset(images)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="no images"):
        extract("effnet", np.zeros((0, 1, 8, 8), np.uint8))
