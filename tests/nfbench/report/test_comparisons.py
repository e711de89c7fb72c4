"""Paired comparisons: known answers, and the rule of the verdicts."""

import pytest

from nfbench.report.comparisons import Comparison, compare, verdict


def test_the_t_test_of_a_textbook_example():
    # differences 1, 2, 3: mean 2, standard deviation 1, t = 2 sqrt(3), two degrees of freedom
    found = compare([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert (found.mean, found.std, found.seeds) == (2.0, 1.0, 3)
    assert found.p == pytest.approx(0.0742, abs=1e-4)


def test_what_all_seeds_share_cancels():
    near, far = compare([1, 2.1, 3.2], [0, 1, 2]), compare([1, 102.1, 1003.2], [0, 101, 1002])
    assert near.p == pytest.approx(far.p)


def test_swapping_the_two_turns_the_sign_alone():
    first, second = compare([3, 5, 4], [1, 2, 2.5]), compare([1, 2, 2.5], [3, 5, 4])
    assert (first.mean, first.std) == (-second.mean, second.std)
    assert first.p == pytest.approx(second.p)


def test_equal_differences_are_certain_and_none_are_not():
    assert compare([2, 3, 4], [1, 2, 3]).p == 0
    assert compare([2, 3], [2, 3]).p == 1


def test_one_seed_has_no_spread_and_no_verdict():
    found = compare([1.0], [2.0])
    assert (found.mean, found.std, found.p) == (-1, None, None)
    assert verdict(found, -5) == "not resolved"


def test_a_missing_seed_leaves_nothing_to_compare():
    assert compare([1.0, None], [2.0, 3.0]) is None
    assert verdict(None, -1) == "not measured"
    with pytest.raises(ValueError, match="do not pair up"):
        compare([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("mean", "p", "published", "words"),
    [
        (-2, 0.01, -7, "holds"),
        (2, 0.01, 7, "holds"),
        (2, 0.01, -7, "does not hold"),
        (-2, 0.01, 7, "does not hold"),
        (-2, 0.2, -7, "not resolved"),
        (-2, 0.01, None, "lower"),
        (2, 0.01, None, "higher"),
    ],
)
def test_the_rule_of_the_verdict(mean, p, published, words):
    assert verdict(Comparison(mean, 1.0, p, 3), published) == words


def test_an_objection_comes_before_any_verdict():
    assert verdict(Comparison(-2, 1.0, 0.01, 3), -7, "no verdict: seen") == "no verdict: seen"
