"""The largest harmless tolerance."""

import math

import pytest

from nfbench.measure.tuning import half_width, tune

EXACT = [10.0, 12.0, 11.0, 11.0]


def test_half_width_is_student_s():
    # Three degrees of freedom: t = 3.18245; standard deviation sqrt(2 / 3).
    assert half_width(EXACT) == pytest.approx(3.18245 * math.sqrt(2 / 3) / 2, rel=1e-5)
    with pytest.raises(ValueError, match="at least two"):
        half_width([1.0])


def test_the_largest_tolerance_within_the_interval_is_chosen_and_no_smaller_one_is_tried():
    tried = []

    def distances(tolerance):
        tried.append(tolerance)
        return [value + 10 * tolerance for value in EXACT]

    found = tune([0.01, 1.0, 0.1, 0.5], EXACT, distances)
    assert tried == [1.0, 0.5, 0.1]
    assert found.tolerance == 0.1
    assert [trial.change for trial in found.trials] == pytest.approx([10.0, 5.0, 1.0])
    assert found.half_width == pytest.approx(half_width(EXACT))


def test_a_change_for_the_better_counts_as_a_change():
    found = tune([0.5, 0.1], EXACT, lambda tolerance: [value - 10 * tolerance for value in EXACT])
    assert found.tolerance == 0.1


def test_where_none_is_harmless_none_is_chosen():
    found = tune([0.5, 0.1], EXACT, lambda tolerance: [value + 100 for value in EXACT])
    assert found.tolerance is None
    assert len(found.trials) == 2
