"""What the figures are drawn from."""

import numpy as np
import pandas as pd

from nfbench.report.quality_figures import error_bar, pareto_front, quality_against_size


def test_the_pareto_front_is_what_nothing_beats_in_both():
    x, y = np.array([3.0, 1.0, 2.0, 2.0, 4.0]), np.array([1.0, 5.0, 2.0, 3.0, 1.0])
    assert [points.tolist() for points in pareto_front(x, y)] == [[1.0, 2.0, 3.0], [5.0, 2.0, 1.0]]


def test_no_points_have_an_empty_front():
    assert [points.tolist() for points in pareto_front(np.array([]), np.array([]))] == [[], []]


def measured(distances, infinity=None):
    """Return what was measured of a sampler in one space at 10, 20 and 40 images."""
    sizes = [{"n": n, "frechet": fd} for n, fd in zip((10, 20, 40), distances, strict=True)]
    end = {"value": infinity, "low": infinity and infinity - 1, "high": infinity and infinity + 1}
    return {
        "spaces": {"effnet": {"frechet": distances[-1], "frechet_by_size": sizes, "frechet_at_infinity": end}}
    }


def test_the_curve_over_sample_sizes_is_the_mean_over_seeds_and_leaves_out_who_draws_the_same_images():
    quality = {
        "sequential": [measured((9, 7, 5)), measured((11, 9, 7))],
        "jacobi": [measured((9, 7, 5.001)), measured((11, 9, 7.001))],
        "biflow": [measured((6, 4, 3), infinity=2.0), measured((6, 4, 3), infinity=4.0)],
        "broken": [{"spaces": {}, "reason": "2 of 40 images are not finite"}] * 2,
        "floor": [measured((2, 1, 0.5))] * 2,
    }
    axes = quality_against_size(quality, {"floor": "real images"}, ["effnet"]).axes[0]
    curves = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert list(curves) == ["sequential", "biflow", "real images"]
    at = dict(zip(*curves["sequential"].get_data(), strict=True))
    assert at == {1 / 10: 10, 1 / 20: 8, 1 / 40: 6}
    ends = [line.get_ydata()[0] for line in axes.lines if line.get_xdata()[0] == 0]
    assert ends[0] == 3.0  # of biflow alone


def test_an_error_bar_is_the_interval_over_seeds_or_else_over_samples():
    over_samples = {"fd_a": 10.0, "fd_a_ci_low": 8.0, "fd_a_ci_high": 13.0}
    assert error_bar(pd.Series(over_samples), "a").ravel().tolist() == [2.0, 3.0]
    over_seeds = over_samples | {"fd_a_seeds_ci_low": -5.0, "fd_a_seeds_ci_high": 25.0}
    assert error_bar(pd.Series(over_seeds), "a").ravel().tolist() == [9.0, 15.0]  # the axis is logarithmic
    assert error_bar(pd.Series({"fd_a": 10.0}), "a") is None
