"""Measurement rows of a sample set: their values, intervals and flags."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nfbench.errors import UserError
from nfbench.measure.quality.classifier import accuracy
from nfbench.measure.quality.distances import Reference, frechet, statistics, write_reference
from nfbench.measure.quality.features import extract, weights_sha256
from nfbench.measure.quality.sample_quality import (
    distance_rows,
    draw_rows,
    quality_rows,
    read_references,
    reconstruction_rows,
)
from nfbench.sample.sample_set import Draw, SampleSet, to_sample_set

DIM = 6
COST = {"nfe": 2.0, "token_steps": 32.0, "iterations": [3.0, 5.0], "score_evaluations": 1.0}
KEYS = {"data_sha256": "d" * 64, "weights_sha256": "e" * 64}


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, DIM)).astype(np.float32)


@pytest.fixture
def reference(features: np.ndarray, tmp_path: Path) -> Reference:
    return write_reference(tmp_path / "effnet-400.npz", features, space="effnet", **KEYS)


@pytest.fixture
def references(digits, classifier_path: Path, tmp_path: Path) -> dict[str, Reference]:
    """Return the references of 300 digits in the classifier's space."""
    path = tmp_path / "classifier-300.npz"
    found = extract("classifier", digits.train.images[:300], classifier=classifier_path)
    sha256 = weights_sha256("classifier", classifier_path)
    write_reference(path, found, space="classifier", data_sha256="d", weights_sha256=sha256)
    return read_references([path], classifier_path)


@pytest.fixture
def samples(digits) -> SampleSet:
    """Return 150 test images as a sample set."""
    images = digits.test.images[:150].astype(np.float32) / 127.5 - 1
    meta = {"feature_spaces_in_loss": [], "parameters": 2_500_000, "settings": {"tolerance": 0.1}}
    return to_sample_set(Draw(images, digits.test.labels[:150], COST), meta)


def by_metric(rows: list[dict], *names: str) -> dict[str, dict]:
    """Return {metric: row}, of one row a metric."""
    return {row["metric"]: row for row in rows if not names or row["metric"] in names}


def spoilt(samples: SampleSet, **meta) -> SampleSet:
    return replace(samples, meta=samples.meta | meta)


def test_a_shift_is_the_distance_and_intervals_hold_their_values(features, reference):
    rows = distance_rows(features + np.float32(0.5), reference, n_splits=4)
    found = by_metric(rows)
    assert found["fd"]["value"] == pytest.approx(DIM * 0.25, rel=1e-5)
    assert found["fd_at_infinity"]["value"] == pytest.approx(DIM * 0.25, rel=0.1)
    for name in ("fd", "fd_at_infinity", "kid"):
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]
    parts = [(row["n"], row["value"]) for row in rows if row["metric"] == "fd_at_n"]
    assert [n for n, _ in parts] == [50, 100, 200, 400]
    assert parts[-1][1] == found["fd"]["value"]
    assert {row["space"] for row in rows} == {"effnet"}
    assert {row.get("flag", "") for row in rows} == {""}
    assert "inception_score" not in found


def test_precision_and_recall_say_how_many_images_they_compare(features, reference):
    found = by_metric(distance_rows(features[:300], reference, n_splits=2))
    assert (found["precision"]["n"], found["recall"]["n"], found["kid"]["n"]) == (300, 300, 300)
    assert found["kid_subset_size"]["value"] == 150


@pytest.mark.parametrize(("n", "flag"), [(4 * DIM - 1, ""), (2 * DIM - 1, "rank_deficient")])
def test_a_distance_of_too_few_images_is_flagged_and_not_extrapolated(features, reference, n, flag):
    found = by_metric(distance_rows(features[:n], reference, n_splits=2))
    assert (found["fd_at_infinity"]["value"], found["fd_at_infinity"]["flag"]) == (None, "not_measured")
    assert found["fd"].get("flag", "") == flag
    assert "flag" not in found["kid"]


def test_logits_add_the_inception_score(features, reference):
    rows = distance_rows(features, reference, np.zeros((400, 5), np.float32), n_splits=2)
    assert by_metric(rows)["inception_score"]["value"] == pytest.approx(1)


def test_quality_is_that_of_the_features_and_the_share_of_right_labels(
    samples, references, classifier, classifier_path
):
    found = by_metric(quality_rows(samples, references, classifier_path, kid_subsets=5, n_splits=2))
    features = extract("classifier", samples.images, classifier=classifier_path)
    assert found["fd"]["value"] == frechet(statistics(features), references["classifier"].statistics)
    labels = found["label_accuracy"]
    assert labels["value"] == accuracy(classifier, samples.images, samples.labels)
    assert labels["low"] <= labels["value"] <= labels["high"]
    assert (labels["space"], labels["n"]) == ("classifier", 150)
    unlabelled = replace(samples, labels=np.full(150, -1))
    rows = quality_rows(unlabelled, references, classifier_path, kid_subsets=5, n_splits=2)
    assert "label_accuracy" not in by_metric(rows)


def test_an_image_that_is_not_finite_empties_every_value(samples, references, classifier_path):
    lines: list[str] = []
    bad = spoilt(samples, non_finite=1)
    rows = quality_rows(bad, references, classifier_path, report=lines.append)
    names = {"fd", "fd_at_infinity", "kid", "precision", "recall", "label_accuracy"}
    assert {row["metric"] for row in rows} == names
    assert {(row["value"], row["flag"], row["n"]) for row in rows} == {(None, "non_finite", 150)}
    assert lines == ["not measured: 1 of 150 images are not finite"]
    rows = reconstruction_rows(bad, references, classifier_path, kind="reconstruction")
    assert {(row["value"], row["flag"]) for row in rows} == {(None, "non_finite")}
    assert len(rows) == 2


def test_a_space_that_the_loss_has_seen_is_flagged(samples, references, classifier_path):
    seen = spoilt(samples, feature_spaces_in_loss=["classifier"])
    rows = quality_rows(seen, references, classifier_path, kid_subsets=5, n_splits=2)
    rows += reconstruction_rows(seen, references, classifier_path, kind="reconstruction")
    flags = {row["metric"]: row.get("flag", "") for row in rows}
    assert flags.pop("kid_subset_size") == ""
    assert set(flags.values()) == {"seen_by_loss"}


@pytest.mark.parametrize("kind", ["reconstruction", "denoised_reconstruction"])
def test_reconstructions_are_scored_as_samples_are(samples, references, classifier_path, kind):
    whole = by_metric(quality_rows(samples, references, classifier_path, kid_subsets=5, n_splits=2))
    found = by_metric(reconstruction_rows(samples, references, classifier_path, kind=kind))
    assert found[f"fd_{kind}"]["value"] == whole["fd"]["value"]
    assert found[f"label_accuracy_{kind}"]["value"] == whole["label_accuracy"]["value"]


def test_facts_of_the_draw_are_rows_and_real_images_have_no_cost(samples, references):
    found = {row["metric"]: row["value"] for row in draw_rows(samples, references)}
    assert found == {
        **{"nfe": 2, "token_steps": 32, "score_evaluations": 1},
        **{"iterations": 4, "iterations_block0": 3, "iterations_block1": 5},
        **{"params_millions": 2.5, "non_finite": 0, "clipped": 0, "tolerance": 0.1},
        **{"n_samples": 150, "n_reference": 300},
    }
    real = spoilt(samples, cost=dict.fromkeys(COST), parameters=None, settings={})
    left = {row["metric"] for row in draw_rows(real, references)}
    assert left == {"non_finite", "clipped", "n_samples", "n_reference"}


def test_a_reference_of_other_weights_is_refused(features, classifier_path, tmp_path):
    path = tmp_path / "classifier-400.npz"
    write_reference(path, features, space="classifier", **KEYS)
    with pytest.raises(UserError, match="other weights of the feature space 'classifier'"):
        read_references([path], classifier_path)
