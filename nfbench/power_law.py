"""What lies between measurements of a quantity that falls like a power of time."""

import numpy as np
from numpy.typing import ArrayLike

ROUNDING = 1e-9  # relative, of times that are equal but for how they were added up


def between(asked: ArrayLike, known: ArrayLike, values: ArrayLike) -> np.ndarray:
    """Interpolate linearly in logarithms, as losses fall with training time to a first approximation.

    Args:
        asked: times, above 0, of any shape.
        known: times of the measurements, above 0, in any order.
        values: what was measured then, above 0.

    Returns:
        As many values as were asked for; NaN before the first and beyond the last measurement, where nothing
        is known.
    """
    times, measured = (np.log(np.asarray(numbers, dtype=float)) for numbers in (known, values))
    order = np.argsort(times)
    wanted = np.log(np.asarray(asked, dtype=float))
    inside = (wanted >= times[order[0]] - ROUNDING) & (wanted <= times[order[-1]] + ROUNDING)
    return np.where(inside, np.exp(np.interp(wanted, times[order], measured[order])), np.nan)
