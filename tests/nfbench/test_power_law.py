"""A line between measurements: exact for a power law, silent where nothing was measured."""

import numpy as np

from nfbench.power_law import between


def test_a_power_law_is_met_between_two_of_its_points_in_any_order():
    times = np.array([100.0, 125.0, 160.0, 200.0])
    np.testing.assert_allclose(between(times, [200.0, 100.0], [200.0, 400.0]), 40_000 / times)


def test_measurements_themselves_are_returned_whatever_lies_between_them():
    known, values = [1.0, 10.0, 40.0], [5.0, 7.0, 0.3]
    np.testing.assert_allclose(between(known, known, values), values)


def test_nothing_is_known_before_the_first_and_beyond_the_last_measurement_but_for_rounding():
    told = between([99.0, 100 * (1 - 1e-12), 200 * (1 + 1e-12), 201.0], [100.0, 200.0], [400.0, 200.0])
    np.testing.assert_allclose(told, [np.nan, 400, 200, np.nan])
