"""What every chart asks of one experiment: its rows with their attributes, and their measurements."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nfbench.measurements import THIS_RUN
from nfbench.report.cells import Cell, Cells, Record
from nfbench.report.derived import with_derived
from nfbench.report.figures.style import series

Row = dict[str, Any]  # attributes of a row, of `nfbench.report.cells.attributes`


@dataclass(frozen=True)
class Measured:
    """One experiment and its measurements.

    Attributes:
        experiment: resolved.
        cells: its measurements, with the derived ones.
    """

    experiment: Mapping[str, Any]
    cells: Cells

    @classmethod
    def of(cls, rows: pd.DataFrame, experiment: Mapping[str, Any]) -> "Measured":
        """Join the measurement rows of one experiment with its attributes."""
        name = experiment["experiment"]
        rows = rows.assign(origin=THIS_RUN, experiment=name)
        return cls(experiment, with_derived(rows, {(THIS_RUN, name): experiment}))

    @property
    def key(self) -> tuple[str, str]:
        """Origin and name of the experiment."""
        return THIS_RUN, self.experiment["experiment"]

    @property
    def spaces(self) -> list[str]:
        """The feature spaces of its distances."""
        return list(self.experiment["quality"]["spaces"])

    def rows(self, **wanted: Any) -> list[Row]:
        """Return the rows with these attributes, in order."""
        rows = self.cells.rows[self.key].values()
        return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]

    def cell(self, row: Row, metric: str, **where: Any) -> Cell:
        """Return the measurements of a row."""
        return self.cells.cell(self.key, row["name"], metric, **where)

    def time(self, row: Row, batch_size: int) -> Cell:
        """Return the milliseconds an image of a row, at its own guidance scale."""
        return self.cell(row, "ms_per_image", batch_size=batch_size, guidance=row["guidance"])

    def records(self, sampler: str, metric: str, **where: Any) -> list[Record]:
        """Return the measurement rows of a sampler or model."""
        return self.cells.records(self.key, sampler, metric, **where)

    def real(self, metric: str, space: str, kind: str = "real") -> float | None:
        """Return what real images score; None where that was not measured."""
        found = [self.cell(row, metric, space=space).value for row in self.rows(type=kind)]
        return next((value for value in found if value is not None), None)

    def batch_sizes(self) -> list[int]:
        """Return the batch sizes that were timed."""
        found = {r["batch_size"] for row in self.rows() for r in self.records(row["name"], "ms_per_image")}
        return sorted(int(size) for size in found)


def error_bar(cell: Cell) -> np.ndarray:
    """Return how far a cell's interval reaches below and above its value, (2, 1); 0 without an interval.

    The lower end stops at a tenth of the value, since logarithmic axes show nothing below 0.
    """
    if cell.interval is None:
        return np.zeros((2, 1))
    low, high = max(cell.interval[0], cell.value / 10), cell.interval[1]
    return np.array([[max(cell.value - low, 0.0)], [max(high - cell.value, 0.0)]])


def looks(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Return colour and marker of rows by name.

    A colour a model, hollow for noisy images, a black edge for a tuned tolerance; another marker where these
    are all the same. The rows of a group share both.
    """
    models, used, groups, found = [], Counter(), {}, {}
    for row in rows:
        model, tuned = row["reverse"] or row["type"], is_tuned(row)
        if row["group"] not in groups:
            models += [model] if model not in models else []
            index, kind = models.index(model), (model, row["output"], tuned)
            style = series(index) | {"marker": series(index + used[kind])["marker"]}
            style["markerfacecolor"] = "white" if row["output"] == "noisy" else style["color"]
            groups[row["group"]] = style
            used[kind] += 1
        found[row["name"]] = groups[row["group"]] | ({"markeredgecolor": "black"} if tuned else {})
    return found


def is_tuned(row: Row) -> bool:
    """Return whether a row's tolerance was tuned."""
    return row["options"].get("tolerance") == "tuned"
