"""What the figures are drawn from."""

import numpy as np

from nfbench.report.figures import pareto_front


def test_the_pareto_front_is_what_nothing_beats_in_both():
    x, y = np.array([3.0, 1.0, 2.0, 2.0, 4.0]), np.array([1.0, 5.0, 2.0, 3.0, 1.0])
    assert [points.tolist() for points in pareto_front(x, y)] == [[1.0, 2.0, 3.0], [5.0, 2.0, 1.0]]


def test_no_points_have_an_empty_front():
    assert [points.tolist() for points in pareto_front(np.array([]), np.array([]))] == [[], []]
