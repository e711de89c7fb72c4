"""Precision and recall, and all that is said of one sample set in one feature space."""

import json
from pathlib import Path

import numpy as np
import pytest
from torch_fidelity import calculate_metrics

from nfbench.data.datasets import Splits
from nfbench.measure.comparison import compare
from nfbench.measure.features import ImageDataset, extract, extractor_name
from nfbench.measure.quality import Reference, inception_score, precision_recall, write_reference

DIM = 6


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, DIM)).astype(np.float32)


@pytest.fixture
def reference(features: np.ndarray, tmp_path: Path) -> Reference:
    hashes = {"data_sha256": "d" * 64, "weights_sha256": "e" * 64}
    return write_reference(tmp_path / "reference.npz", features, space="effnet", **hashes)


def test_a_set_has_all_of_itself_and_nothing_of_one_far_away(features: np.ndarray):
    assert precision_recall(features, features) == (1, 1)
    assert precision_recall(features + 100, features) == (0, 0)


def test_swapping_the_sets_swaps_precision_and_recall(features: np.ndarray):
    narrow = 0.3 * np.random.default_rng(1).normal(size=features.shape).astype(np.float32)
    precision, recall = precision_recall(narrow, features)
    assert precision > 0.9 > 0.5 > recall  # samples of too little variety: all real, and not all that is
    assert precision_recall(features, narrow) == (recall, precision)


def test_the_larger_set_is_thinned_to_the_smaller(features: np.ndarray):
    thinned = features[np.random.default_rng(5).permutation(400)[:100]]
    few = np.random.default_rng(1).normal(size=(100, DIM)).astype(np.float32)
    assert precision_recall(few, features, seed=5) == precision_recall(few, thinned)
    assert precision_recall(features, few, seed=5) == precision_recall(thinned, few)


def test_three_images_have_no_three_neighbours(features: np.ndarray):
    with pytest.raises(ValueError, match="no 3 neighbours"):
        precision_recall(features[:3], features)
    features[0, 0] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        precision_recall(features, features)


def test_precision_and_recall_agree_with_torch_fidelity(digits: Splits, classifier_path: Path):
    first, second = digits.train.images[:200], digits.test.images[:200]
    theirs = calculate_metrics(
        input1=ImageDataset(first),
        input2=ImageDataset(second),
        feature_extractor=extractor_name("classifier"),
        feature_extractor_weights_path=str(classifier_path),
        prc=True,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    a, b = (extract("classifier", part, classifier=classifier_path) for part in (first, second))
    assert precision_recall(a, b) == pytest.approx((theirs["precision"], theirs["recall"]))


def test_the_inception_score_of_certain_and_even_classes_is_their_number():
    certain = np.tile(100 * np.eye(5, dtype=np.float32), (20, 1))
    mean, std = inception_score(certain, splits=1)
    assert (mean, std) == (pytest.approx(5, rel=1e-6), 0)
    assert inception_score(np.zeros((30, 5), np.float32)) == pytest.approx((1, 0), abs=1e-9)
    with pytest.raises(ValueError, match="too few for 10 splits"):
        inception_score(np.zeros((9, 5), np.float32))


def test_a_comparison_is_json_and_its_intervals_hold_its_values(features: np.ndarray, reference: Reference):
    shifted = features + np.float32(0.5)
    found = json.loads(json.dumps(compare(shifted, reference, half_pairs=4), allow_nan=False))
    assert found["frechet"] == pytest.approx(DIM * 0.25, rel=1e-5)
    for measure, interval in found["over_samples"].items():
        assert interval["low"] < found[measure] < interval["high"]
    beyond = found["frechet_at_infinity"]
    assert beyond["low"] < beyond["value"] < beyond["high"]
    assert beyond["value"] == pytest.approx(DIM * 0.25, rel=0.1)
    assert beyond["reason"] is None
    assert (found["n"], found["half_pairs"], found["precision_recall_n"]) == (400, 4, 400)
    assert "inception_score" not in found
    assert [part["n"] for part in found["frechet_by_size"]] == [50, 100, 200, 400]
    assert found["frechet_by_size"][-1]["frechet"] == found["frechet"]


def test_a_distance_of_too_few_images_is_not_extrapolated_and_the_reason_given(
    features: np.ndarray, reference: Reference
):
    found = compare(features[: 4 * DIM - 1], reference, half_pairs=2)
    reason = f"n = {4 * DIM - 1} is under 4 times the {DIM} features"
    assert found["frechet_at_infinity"] == {"value": None, "reason": reason}
    assert not found["rank_deficient"]
    assert compare(features[: 2 * DIM - 1], reference, half_pairs=2)["rank_deficient"]


def test_logits_add_the_inception_score(features: np.ndarray, reference: Reference):
    found = compare(features, reference, np.zeros((400, 5), np.float32), half_pairs=2)
    assert found["inception_score"] == pytest.approx(1)
