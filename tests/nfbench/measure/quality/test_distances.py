"""Known answers of the distances, and agreement with torch-fidelity as its users call it."""

from pathlib import Path

import numpy as np
import pytest
from torch_fidelity import calculate_metrics
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from nfbench.data.datasets import Splits
from nfbench.errors import UserError
from nfbench.measure.quality import distances
from nfbench.measure.quality.distances import (
    Reference,
    Statistics,
    frechet,
    inception_score,
    kid,
    kid_subset_size,
    precision_recall,
    rank_deficient,
    read_reference,
    statistics,
    write_reference,
)
from nfbench.measure.quality.features import ImageDataset, extract, extractor_name

DIM = 6


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, DIM)).astype(np.float32)


def test_statistics_are_those_of_numpy_in_float64(features: np.ndarray):
    stats = statistics(features)
    exact = features.astype(np.float64)
    np.testing.assert_allclose(stats.mu, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats.sigma, np.cov(exact.T), rtol=1e-12)
    assert (stats.n, stats.dim, stats.mu.dtype) == (400, DIM, np.float64)


def test_frechet_distance_of_a_shifted_gaussian_is_the_squared_shift(features: np.ndarray):
    shift = np.arange(DIM, dtype=np.float32)
    got = frechet(statistics(features), statistics(features + shift))
    assert got == pytest.approx(float(shift @ shift), rel=1e-6)


def test_frechet_distance_of_a_scaled_gaussian_is_the_squared_difference_of_scales():
    a = Statistics(np.zeros(DIM), 4.0 * np.eye(DIM), 100)
    b = Statistics(np.zeros(DIM), 9.0 * np.eye(DIM), 100)
    assert frechet(a, b) == pytest.approx(DIM * (3 - 2) ** 2, rel=1e-9)


def test_frechet_distance_of_commuting_covariances_sums_over_their_axes():
    rng = np.random.default_rng(1)
    axes, _ = np.linalg.qr(rng.normal(size=(DIM, DIM)))
    scale_a, scale_b = rng.uniform(0.5, 2, DIM), rng.uniform(0.5, 2, DIM)
    a, b = (Statistics(np.zeros(DIM), axes * s**2 @ axes.T, 9) for s in (scale_a, scale_b))
    assert frechet(a, b) == pytest.approx(((scale_a - scale_b) ** 2).sum(), rel=1e-9)


def test_frechet_distance_of_a_set_to_itself_is_zero(features: np.ndarray):
    stats = statistics(features)
    assert frechet(stats, stats) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_is_symmetric(features: np.ndarray):
    a, b = statistics(features[:200]), statistics(1.3 * features[200:] + 0.2)
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-9)


def test_frechet_distance_bears_a_rank_deficient_covariance(features: np.ndarray):
    few = statistics(features[:4])
    assert frechet(few, few) == pytest.approx(0, abs=1e-6)


def test_statistics_of_other_spaces_are_not_compared(features: np.ndarray):
    with pytest.raises(ValueError, match="one space"):
        frechet(statistics(features), statistics(features[:, :3]))


@pytest.mark.parametrize(("n", "deficient"), [(127, True), (128, False)])
def test_under_twice_the_dimension_the_rank_is_deficient(n: int, deficient: bool):
    assert rank_deficient(n, 64) is deficient


def test_features_that_are_not_finite_have_no_distance(features: np.ndarray):
    bad = features.copy()
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        statistics(bad)
    with pytest.raises(ValueError, match="not finite"):
        kid(features, bad, subset_size=10)


@pytest.mark.parametrize(("n", "size"), [(5000, 1000), (2000, 1000), (500, 250), (3, 1)])
def test_kid_subsets_are_half_the_samples_and_at_most_1000(n: int, size: int):
    assert kid_subset_size(n) == size


def test_kid_of_two_points_is_the_kernels_closed_form():
    x, y = np.array([1.0, 2.0]), np.array([0.5, -1.0])
    a, b = np.tile(x, (20, 1)), np.tile(y, (30, 1))

    def kernel(u: np.ndarray, v: np.ndarray) -> float:
        return float((u @ v / 2 + 1) ** 3)

    mean, std = kid(a, b, subset_size=10, subsets=3)
    assert mean == pytest.approx(kernel(x, x) + kernel(y, y) - 2 * kernel(x, y), rel=1e-12)
    assert std == pytest.approx(0, abs=1e-12)


def test_kid_of_one_distribution_is_zero_within_its_spread(features: np.ndarray):
    mean, std = kid(features[:200], features[200:], subset_size=100, subsets=50)
    assert abs(mean) < 3 * std
    further, _ = kid(features[:200], features[200:] + 1, subset_size=100, subsets=50)
    assert further > 10 * std


def test_kid_depends_on_its_seed_alone(features: np.ndarray):
    def run(seed: int) -> tuple[float, float]:
        return kid(features[:200], features[200:], subset_size=50, subsets=5, seed=seed)

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("size", [1, 201])
def test_kid_subsets_must_fit_the_sets(features: np.ndarray, size: int):
    with pytest.raises(ValueError, match="does not fit"):
        kid(features[:200], features, subset_size=size)


@pytest.mark.parametrize("n", [30, 400])  # fewer and more images than features
def test_frechet_distance_is_torch_fidelity_s(n: int):
    rng = np.random.default_rng(0)
    a, b = (statistics(rng.normal(size=(m, 64)) @ rng.normal(size=(64, 64))) for m in (n, 500))
    pair = ({"mu": each.mu, "sigma": each.sigma} for each in (a, b))
    theirs = fid_statistics_to_metric(*pair, verbose=False)[KEY_METRIC_FID]
    assert frechet(a, b) == pytest.approx(theirs, rel=1e-6)


def test_both_distances_agree_with_torch_fidelity(digits: Splits, classifier_path: Path):
    first, second = digits.train.images[:300], digits.test.images[:250]
    theirs = calculate_metrics(
        input1=ImageDataset(first),
        input2=ImageDataset(second),
        feature_extractor=extractor_name("classifier"),
        feature_extractor_weights_path=str(classifier_path),
        fid=True,
        kid=True,
        kid_subset_size=100,
        kid_subsets=10,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    a, b = (extract("classifier", part, classifier=classifier_path) for part in (first, second))
    ours = frechet(statistics(a), statistics(b))
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    mean, std = kid(a, b, subset_size=100, subsets=10)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4, abs=1e-5)
    assert std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-4, abs=1e-5)


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


def test_precision_and_recall_agree_with_torch_fidelity(digits: Splits, classifier_path: Path, monkeypatch):
    monkeypatch.setattr(distances, "ROWS", 70)
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


@pytest.fixture
def reference_path(features: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "reference.npz"
    write_reference(path, features, space="effnet", data_sha256="d" * 64, weights_sha256="e" * 64)
    return path


def test_a_reference_comes_back_from_its_file(features: np.ndarray, reference_path: Path):
    read: Reference = read_reference(reference_path)
    np.testing.assert_array_equal(read.features, features)
    np.testing.assert_array_equal(read.statistics.sigma, statistics(features).sigma)
    np.testing.assert_array_equal(read.statistics.mu, statistics(features).mu)
    np.testing.assert_array_equal(vars(read.statistics)["root"], statistics(features).root)
    assert read.statistics.n == 400
    assert (read.space, read.data_sha256, read.weights_sha256) == ("effnet", "d" * 64, "e" * 64)


@pytest.mark.parametrize("kept", [0, 100, 3000])
def test_a_cut_reference_is_said_to_be_corrupt(reference_path: Path, kept: int):
    reference_path.write_bytes(reference_path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"reference\.npz is corrupt"):
        read_reference(reference_path)


def test_another_npz_is_no_reference(tmp_path: Path):
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(UserError, match=r"other\.npz is corrupt"):
        read_reference(tmp_path / "other.npz")


def test_a_missing_reference_is_named_in_the_error(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.npz is missing"):
        read_reference(tmp_path / "none.npz")
