"""Cells of intervals, over samples and over seeds apart; sample sets measured unlike are refused."""

import math

import pytest

from nfbench.errors import UserError
from nfbench.report.over_samples import BROUGHT, EVERYWHERE, check_comparable, interval_cells, over_samples
from nfbench.report.tables import COLUMNS

SPACE = "effnet"


def quality(frechet=10.0, reach=1.0, n=5000, **changes):
    """Return one seed's measurement whose interval over samples is the distance +- reach."""
    interval = {"low": frechet - reach, "high": frechet + reach, "standard_error": reach / 2, "level": 0.95}
    space = {"frechet": frechet, "over_samples": {"frechet": interval}, "precision": 0.7, "recall": 0.4}
    space |= {"n_reference": 20000, "reference_sha256": "r" * 64, "weights_sha256": "w" * 64}
    return {"samples": {"n": n}, "spaces": {SPACE: space | changes}}


def test_one_seed_has_its_own_interval_over_samples_and_none_over_seeds():
    cells = interval_cells([quality()], [quality(frechet=900.0)], SPACE)
    assert (cells["fd_effnet_ci_low"], cells["fd_effnet_ci_high"]) == (9, 11)
    assert "fd_effnet_seeds_ci_low" not in cells
    assert (cells["precision_effnet"], cells["recall_effnet"]) == (0.7, 0.4)
    assert cells["fd_effnet_class_means"] == 900


def test_four_seeds_halve_the_interval_over_samples_and_have_one_over_seeds():
    seeds = [quality(frechet) for frechet in (8.0, 8.0, 12.0, 12.0)]
    assert over_samples(seeds, SPACE) == pytest.approx((9.5, 10.5))
    cells = interval_cells(seeds, [], SPACE)
    reach = 3.182446305284263 * math.sqrt(16 / 3) / 2  # the quantile 0.975 at three degrees of freedom
    assert cells["fd_effnet_seeds_ci_high"] == pytest.approx(10 + reach)
    assert cells["fd_effnet_class_means"] is None


def test_a_seed_without_a_measurement_leaves_the_cells_empty():
    cells = interval_cells([quality(), {"samples": {"n": 5000}, "spaces": {}}], [], SPACE)
    assert set(cells.values()) == {None}
    older = quality()
    del older["spaces"][SPACE]["over_samples"]
    assert over_samples([older], SPACE) == (None, None)


def test_every_cell_has_its_column():
    score = quality()
    score["spaces"]["inception"] = score["spaces"][SPACE] | {"inception_score": 3.0}
    for space in EVERYWHERE:
        assert set(interval_cells([quality(), quality()], [], space)) <= set(COLUMNS)
    assert all(f"fd_{space}_floor_noisy" in COLUMNS for space in BROUGHT)
    assert interval_cells([score], [], "inception")["inception_score"] == 3.0
    assert len(set(COLUMNS)) == len(COLUMNS)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (quality(n=4000), r"'b' and of 'a' .* the number of images \(4000 and 5000\)"),
        (quality(weights_sha256="x" * 64), r"the weights of the feature space 'effnet' \(x{12} and w{12}\)"),
        (quality(reference_sha256="x" * 64), "the reference images in the feature space"),
        (quality(n_reference=10), r"the number of reference images .* \(10 and 20000\)"),
    ],
)
def test_sample_sets_that_were_measured_unlike_are_refused(other, told):
    with pytest.raises(UserError, match=told):
        check_comparable({"a": [quality()], "b": [quality(), other]})


def test_sample_sets_measured_alike_and_unmeasured_ones_are_compared():
    check_comparable({"a": [quality(), quality(frechet=3.0)], "b": [{"samples": {"n": 5000}, "spaces": {}}]})
