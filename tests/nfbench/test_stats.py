"""Statistics: known answers, agreement with scipy.stats, and the cases without an answer."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nfbench.stats import (
    Comparison,
    GeometricMean,
    between,
    comparison,
    geometric_mean,
    mean_interval,
    paired,
    ratio_of_pairs,
    std_of_interval,
    student_interval,
)


def test_the_t_interval_of_three_values_is_the_tabulated_one():
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert found.low + found.high == pytest.approx(4.0)


def test_a_mean_of_one_value_or_of_a_missing_one_has_no_interval():
    assert mean_interval([1.0]) is None
    assert mean_interval([1.0, None]) is None


@pytest.mark.parametrize("arguments", [(math.nan, 1.0, 2), (0.0, math.inf, 2), (0.0, 1.0, 0)])
def test_an_interval_of_what_is_not_finite_is_refused(arguments):
    with pytest.raises(ValueError, match="no interval"):
        student_interval(*arguments)


def test_the_standard_deviation_comes_back_from_the_interval():
    values = [3.0, 5.0, 4.5, 9.0]
    found = mean_interval(values)
    assert std_of_interval(found.low, found.high, 4) == pytest.approx(np.std(values, ddof=1))
    assert std_of_interval(math.nan, math.nan, 4) is None


def test_a_paired_comparison_is_the_paired_t_test():
    first, second = [5.0, 6.0, 7.5], [4.0, 4.5, 7.0]
    found, expected = paired(first, second), scipy_stats.ttest_rel(first, second)
    assert (found.mean, found.n) == (1.0, 3)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12)
    ends = expected.confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((ends.low, ends.high))


def test_equal_differences_are_certain_and_no_difference_has_p_one():
    assert paired([2.0, 3.0], [1.0, 2.0]) == Comparison(1.0, 0.0, 0.0, 2)
    assert paired([2.0, 3.0], [2.0, 3.0]).p == 1.0


def test_one_pair_has_no_p_and_a_missing_value_no_comparison():
    assert paired([2.0], [1.0]) == comparison(1.0, None, 1)
    assert paired([2.0], [1.0]).interval is None
    assert paired([2.0, None], [1.0, 1.0]) is None
    with pytest.raises(ValueError, match="do not pair up"):
        paired([1.0], [1.0, 2.0])


def test_the_geometric_mean_of_reciprocals_is_the_reciprocal():
    found, other = geometric_mean([1.0, 2.0, 4.0]), geometric_mean([1.0, 0.5, 0.25])
    assert found.mean == pytest.approx(2.0)
    assert (found.low * other.high, found.high * other.low) == pytest.approx((1.0, 1.0))
    assert geometric_mean([3.0]) == GeometricMean(pytest.approx(3.0), None, None, 1)
    with pytest.raises(ValueError, match="no geometric mean"):
        geometric_mean([1.0, 0.0])


def test_ratios_pair_by_repetition():
    found = ratio_of_pairs({0: 2.0, 1: 8.0, 2: 1.0}, {0: 1.0, 1: 4.0, 3: 9.0})
    assert (found.mean, found.n) == (pytest.approx(2.0), 2)
    assert ratio_of_pairs({0: 1.0}, {1: 1.0}) is None


def test_a_power_law_is_interpolated_exactly_and_not_extrapolated():
    found = between([1.0, 3.0, 10.0, 11.0, 0.5], [10.0, 1.0], [7 * 10.0**-0.4, 7.0])
    np.testing.assert_allclose(found, [7.0, 7 * 3.0**-0.4, 7 * 10.0**-0.4, np.nan, np.nan])
