"""The nearest training image."""

import numpy as np

from nfbench.measure.nearest import nearest


def test_a_copy_is_found_and_a_shift_is_its_distance():
    training = np.random.default_rng(0).integers(0, 200, (30, 1, 4, 4), dtype=np.uint8)
    images = training[[7, 3, 21]] + np.array([0, 1, 5], np.uint8).reshape(3, 1, 1, 1)
    positions, distances = nearest(images, training, batch_size=2)
    assert positions.tolist() == [7, 3, 21]
    np.testing.assert_allclose(distances, [0, 1, 5], rtol=1e-6)
