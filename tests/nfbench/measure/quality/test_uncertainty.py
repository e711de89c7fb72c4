"""Intervals over samples hold the expected value as often as they claim, on Gaussians of known distance."""

import math

import numpy as np
import pytest

from nfbench.measure.quality.distances import Statistics, frechet, kid, statistics
from nfbench.measure.quality.uncertainty import (
    Halves,
    bootstrap_mean,
    by_size,
    can_extrapolate,
    frechet_at_infinity,
    frechet_interval,
    frechet_standard_error,
    halves,
    subset_interval,
)

DIM = 4
N = 200
REPEATS = 300
REFERENCE = Statistics(np.zeros(DIM), np.eye(DIM), 10**9)  # the distribution itself
SCALES = np.array([1.0, 1.4, 0.7, 1.2])
SHIFT = np.array([0.3, 0.0, -0.2, 0.1])
# What is compared with N(0, I): a different Gaussian, and the same one.
GAUSSIANS = {"different": (SHIFT, SCALES), "same": (np.zeros(DIM), np.ones(DIM))}


def distance(shift: np.ndarray, scales: np.ndarray) -> float:
    """Return the Frechet distance of N(shift, diag scales^2) to N(0, I)."""
    return float(shift @ shift + ((scales - 1) ** 2).sum())


@pytest.fixture(scope="module", params=list(GAUSSIANS))
def repeated(request: pytest.FixtureRequest):
    """Return the true distance, and (distance, halves) of many sample sets of one Gaussian."""
    shift, scales = GAUSSIANS[request.param]
    rng = np.random.default_rng(0)
    sets = [shift + scales * rng.normal(size=(N, DIM)) for _ in range(REPEATS)]
    pairs = [(frechet(statistics(x), REFERENCE), halves(x, REFERENCE, n_splits=10)) for x in sets]
    return distance(shift, scales), pairs


def coverage(intervals: list, truth: float) -> float:
    """Return the share of the intervals that hold the truth."""
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


def test_nine_in_ten_nominal_95_intervals_hold_the_expected_distance_at_n(repeated):
    _, pairs = repeated
    expected = np.mean([value for value, _ in pairs])
    assert coverage([frechet_interval(value, split) for value, split in pairs], expected) >= 0.9


def test_nine_in_ten_intervals_at_infinity_hold_the_true_distance(repeated):
    truth, pairs = repeated
    assert coverage([frechet_at_infinity(value, split)[1] for value, split in pairs], truth) >= 0.9


def test_at_infinity_the_bias_of_a_finite_n_is_gone(repeated):
    truth, pairs = repeated
    at_n = np.array([value for value, _ in pairs])
    beyond = np.array([frechet_at_infinity(value, split)[0] for value, split in pairs])
    noise = beyond.std() / math.sqrt(REPEATS)
    assert at_n.mean() - truth > 5 * noise
    assert abs(beyond.mean() - truth) < 3 * noise


def test_at_four_images_a_feature_nine_tenths_of_the_bias_are_gone_and_not_all():
    rng, dim = np.random.default_rng(8), 48
    reference = Statistics(np.zeros(dim), np.eye(dim), 10**9)
    at_n, beyond = [], []
    for _ in range(10):
        x = rng.normal(size=(4 * dim, dim))
        at_n.append(frechet(statistics(x), reference))
        beyond.append(frechet_at_infinity(at_n[-1], halves(x, reference, n_splits=4))[0])
    assert 0.85 < 1 - abs(np.mean(beyond)) / np.mean(at_n) < 0.97


def test_the_standard_error_is_the_spread_over_sample_sets_or_near_zero_up_to_root_two_more(
    repeated,
):
    truth, pairs = repeated
    spread = np.std([value for value, _ in pairs], ddof=1)
    claimed = math.sqrt(np.mean([frechet_standard_error(split) ** 2 for _, split in pairs]))
    assert 0.9 < claimed / spread < (1.15 if truth else 1.15 * math.sqrt(2))


def test_resampling_with_replacement_adds_the_bias_of_a_finite_n_again():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, DIM))
    value = frechet(statistics(x), REFERENCE)
    drawn = [frechet(statistics(x[rng.integers(N, size=N)]), REFERENCE) for _ in range(200)]
    assert np.mean(drawn) > 1.5 * value


def test_halves_have_the_distance_of_their_statistics():
    rng = np.random.default_rng(2)
    mix = rng.normal(size=(12, 12))
    reference = statistics(rng.normal(size=(500, 12)) @ mix + 1)
    features = rng.normal(size=(100, 12)) @ rng.normal(size=(12, 12))
    split = halves(features, reference, n_splits=3, seed=7)
    splits = np.random.default_rng(7)
    for row in split.distances:
        order = splits.permutation(100)
        expected = [frechet(statistics(features[part]), reference) for part in (order[:50], order[50:])]
        np.testing.assert_allclose(row, expected, rtol=1e-9)


@pytest.mark.parametrize("n", [20, 21])
def test_halves_bear_fewer_images_than_features(n: int):
    rng = np.random.default_rng(3)
    reference = statistics(rng.normal(size=(200, 30)))
    split = halves(rng.normal(size=(n, 30)), reference, n_splits=2)
    assert (split.size, split.n) == (10, n)
    assert np.isfinite(split.distances).all()


def test_halves_depend_on_their_seed_alone():
    x = np.random.default_rng(4).normal(size=(40, DIM))
    first, again, other = (halves(x, REFERENCE, n_splits=2, seed=seed).distances for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("shape", "n_splits"), [((3, DIM), 2), ((40, DIM), 0), ((40, DIM + 1), 2)])
def test_what_cannot_be_halved_is_refused(shape: tuple[int, int], n_splits: int):
    with pytest.raises(ValueError, match="cannot halve"):
        halves(np.zeros(shape), REFERENCE, n_splits=n_splits)


def test_one_split_is_not_extrapolated():
    with pytest.raises(ValueError, match="one split"):
        frechet_at_infinity(1.0, Halves(np.ones((1, 2)), 50, 100))


@pytest.mark.parametrize(("n", "enough"), [(255, False), (256, True)])
def test_four_images_a_feature_are_enough_to_extrapolate(n: int, enough: bool):
    assert can_extrapolate(n, 64) is enough


def test_intervals_of_kid_hold_its_expected_value():
    rng = np.random.default_rng(5)
    reference = rng.normal(size=(2000, DIM))
    runs = []
    for seed in range(150):
        x = SHIFT + SCALES * rng.normal(size=(N, DIM))
        runs.append(kid(x, reference, subset_size=N // 2, subsets=20, seed=seed))
    expected = np.mean([mean for mean, _ in runs])
    found = [subset_interval(*run, subset_size=N // 2, subsets=20, n=N) for run in runs]
    assert coverage(found, expected) >= 0.9


def test_one_subset_has_no_interval_and_the_whole_set_is_no_subset():
    assert subset_interval(0.1, 0.0, subset_size=10, subsets=1, n=20) is None
    with pytest.raises(ValueError, match="subsets of 20"):
        subset_interval(0.1, 0.0, subset_size=20, subsets=5, n=20)


def test_nine_in_ten_bootstrap_intervals_hold_a_share():
    rng = np.random.default_rng(6)
    found = [bootstrap_mean(rng.random(100) < 0.8, resamples=300) for _ in range(200)]
    assert coverage(found, 0.8) >= 0.9
    assert np.mean([interval.standard_error for interval in found]) == pytest.approx(0.04, rel=0.05)


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_nothing_and_what_is_not_finite_are_not_resampled(values: list[float]):
    with pytest.raises(ValueError, match="cannot resample"):
        bootstrap_mean(np.array(values))


def test_distances_of_parts_are_those_of_the_parts_and_fall_with_their_size():
    features = np.random.default_rng(4).normal(size=(N, DIM))
    found = by_size(features, REFERENCE, sizes=(20, 100), seed=9)
    order = np.random.default_rng(9).permutation(N)
    parts = [statistics(features[chosen]) for chosen in (order[:20], order[-20:])]
    assert found[20] == pytest.approx(np.mean([frechet(part, REFERENCE) for part in parts]), rel=1e-4)
    assert found[20] > found[100] > 0


@pytest.mark.parametrize("size", [1, N // 2 + 1])
def test_parts_of_which_there_are_no_two_are_refused(size):
    with pytest.raises(ValueError, match=f"no two parts of {size} images"):
        by_size(np.zeros((N, DIM)), REFERENCE, sizes=(size,))


def test_parts_of_fewer_images_than_features_are_measured_as_all_others():
    rng = np.random.default_rng(6)
    features, reference = rng.normal(size=(60, 40)), statistics(rng.normal(size=(500, 40)))
    order = np.random.default_rng(3).permutation(60)
    parts = [statistics(features[chosen]) for chosen in (order[:12], order[-12:])]
    expected = np.mean([frechet(part, reference) for part in parts])
    assert by_size(features, reference, sizes=(12,), seed=3)[12] == pytest.approx(expected, rel=1e-3)
