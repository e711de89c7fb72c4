"""Speed-ups over the fastest exact inverse of a table, and how its rows are named."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nfbench.sample.contestant import contestant
from nfbench.sample.sampler import entry

# An error at which an inverse counts as exact, [-1, 1] units squared: a hundredth of a grey level (RMS), the
# rounding of single precision with room to spare.
EXACT_MSE = 1e-8


def with_speedups(rows: pd.DataFrame) -> pd.DataFrame:
    """Compare with the fastest exact inverse that ends in the same kind of output, clean or noisy.

    An iterative inverse whose measured error is that of rounding is as good a baseline as any.
    """
    rows = rows.copy()
    entries = rows["sampler"].map(entry)
    output = entries.map(lambda known: known.output)
    learned = entries.map(lambda known: known.learned)
    exact = entries.map(lambda known: known.exact)
    exact |= ~learned & (pd.to_numeric(rows["inversion_mse"]) <= EXACT_MSE)
    for kind in output.unique():
        same = output == kind
        at_1 = _fastest(rows[exact & same], "ms_per_image_batch1", "min")
        at_64 = _fastest(rows[exact & same], "images_per_second_batch64", "max")
        if at_1 is not None:
            ratio = at_1["ms_per_image_batch1"] / rows.loc[same, "ms_per_image_batch1"]
            rows.loc[same, "speedup_batch1"] = ratio
        if at_64 is not None:
            ratio = rows.loc[same, "images_per_second_batch64"] / at_64["images_per_second_batch64"]
            rows.loc[same, "speedup_batch64"] = ratio
        names = {label(row): None for row in (at_1, at_64) if row is not None}
        rows.loc[same, "speedup_baseline"] = (
            " at batch 1, ".join(names) or None
        )  # one name where one is fastest at both
    return rows


def label(row: Mapping[str, Any]) -> str:
    """Return how a row of a table is named in figures: its sampler, and its variant where there is one."""
    variant = row["variant"]
    return row["sampler"] if pd.isna(variant) or not variant else f"{row['sampler']}, {variant}"


def _fastest(rows: pd.DataFrame, column: str, best: str) -> pd.Series | None:
    """Return the row with the best value of a column, None where no row has one."""
    values = pd.to_numeric(rows[column]).dropna()
    if values.empty:
        return None
    return rows.loc[values.idxmin() if best == "min" else values.idxmax()]


def method_of(row: pd.Series) -> str:
    """Return the sampler of a table's row without its denoising."""
    return contestant(row["sampler"]).method
