"""The interval of a mean over seeds."""

import math

import pandas as pd
from scipy import stats

from nfbench.report.comparisons import LEVEL

FEWEST_SEEDS = 3  # the interval over two seeds is nine standard deviations to either side
OVER_SEEDS = f"{1 - LEVEL:.0%} over seeds (t)"


def t_interval(mean: float, std: float | None, n: int) -> tuple[float, float] | None:
    """Return the interval of a mean over n seeds by Student's t; None for one seed or an unknown spread.

    It leaves 0 out exactly where the two-sided t-test of the mean is significant.

    Args:
        std: over seeds, divisor n - 1.
    """
    if n < 2 or pd.isna(std):
        return None
    half = float(stats.t.ppf(1 - LEVEL / 2, n - 1)) * float(std) / math.sqrt(n)
    return mean - half, mean + half
