"""A tiny classifier of digits, trained once for all tests here."""

from pathlib import Path

import pytest

from nfbench.data.datasets import Splits, load
from nfbench.measure.quality.classifier import DomainClassifier, save_classifier, train_classifier


@pytest.fixture(scope="session")
def digits() -> Splits:
    return load("digits", validation_size=200)


@pytest.fixture(scope="session")
def classifier(digits: Splits) -> DomainClassifier:
    return train_classifier(
        digits.train, digits.validation, epochs=5, batch_size=64, learning_rate=4e-3, width=8
    )


@pytest.fixture(scope="session")
def classifier_path(classifier: DomainClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("classifier") / "classifier.safetensors"
    save_classifier(path, classifier)
    return path
