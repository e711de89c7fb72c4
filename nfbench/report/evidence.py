"""What was measured of a claim: a quantity and its interval, each from one table and one experiment.

A missing file, row or cell becomes a reason in words, never an error and never a zero.
"""

import dataclasses
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.report.ablations import MEASURES
from nfbench.report.seed_intervals import FEWEST_SEEDS, OVER_SEEDS, t_interval
from nfbench.report.spaces import space_of
from nfbench.report.tables import distinct
from nfbench.sample.contestant import contestant

# Endings of columns that hold an interval, and what it is.
BOUNDS = {("low", "high"): "95%, as the table gives it", ("q1", "q3"): "quartiles"}
FOLDER = re.compile(r"(.+)-(cpu|cuda|mps|h100|h200)")  # of committed results: experiment and device


@dataclass(frozen=True)
class Selector:
    """Where a claim's quantity stands; see workflow/schemas/claims.schema.yaml for each key."""

    table: str
    experiments: list[str] = field(default_factory=list)
    paired: list[str] = field(default_factory=list)
    measures: list[str] = field(default_factory=lambda: list(MEASURES))
    column: str | None = None
    ratio: list[dict] = field(default_factory=list)
    value: dict = field(default_factory=dict)
    several: str | None = None
    exact: bool = False

    @property
    def neutral(self) -> float | None:
        """The value at which neither of the two compared is ahead; None for a quantity by itself."""
        if self.paired:
            return 0.0
        return 1.0 if self.ratio or self.table == "ratios.md" or self.column == "speedup" else None


@dataclass(frozen=True)
class Evidence:
    """One quantity as measured.

    Attributes:
        quantity: what it is, in words.
        value: None where it was not measured; `missing` then says why.
        low, high: its interval; None where there is none.
        interval: what kind of interval it is.
        objection: why no verdict may be drawn from it, or nothing.
        file: the table it is read from.
    """

    quantity: str
    value: float | None
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    seeds: int | None = None
    experiment: str | None = None
    device: str | None = None
    precision: str | None = None
    commit: str | None = None
    objection: str = ""
    missing: str = ""
    file: str = ""


def evidence(
    selector: Selector, tables: Mapping[Path, pd.DataFrame], root: str | Path = "."
) -> tuple[list[Evidence], str]:
    """Return all that the tables hold of a quantity, and, where that is nothing, the reason.

    Args:
        tables: of `nfbench.report.evidence_tables.read_tables`.
        root: folder that the names of files are given from.
    """
    matching = {path: rows for path, rows in tables.items() if path.name == selector.table}
    if not matching:
        return [], f"there is no {selector.table}"
    read = _paired if selector.paired else _cells
    found = []
    for path, rows in matching.items():
        found += read(selector, path, rows, tables)
    if selector.experiments:
        found = [each for each in found if each.experiment in selector.experiments]
    found = [dataclasses.replace(each, file=os.path.relpath(each.file, root)) for each in found]
    return found, "" if found else f"no {selector.table} has {_wanted(selector)}"


def experiment_of(path: Path) -> str:
    """Return the experiment whose folder a table lies in: EXPERIMENT/report/, or EXPERIMENT-DEVICE/."""
    folder = path.resolve().parent
    kept = FOLDER.fullmatch(folder.name)
    return folder.parent.name if folder.name == "report" else kept[1] if kept else folder.name


def _wanted(selector: Selector) -> str:
    """Say which rows a selector looks for."""
    if selector.paired:
        return f"{selector.paired[0]} against {selector.paired[1]}"
    return " and ".join(_words(row) for row in selector.ratio or [selector.value])


def _words(row: Mapping[str, Any]) -> str:
    names = [str(row[key]) for key in ("pair", "sampler", "title") if key in row]
    rest = [f"{key} {row[key]}" for key in row if key not in ("pair", "sampler", "title")]
    return ", ".join(names + rest)


def _paired(
    selector: Selector, path: Path, rows: pd.DataFrame, tables: Mapping[Path, pd.DataFrame]
) -> Iterator[Evidence]:
    """Yield the difference between two contestants at the same seeds, in every measure that is wanted."""
    first, second = selector.paired
    origin = _origin_of(path, tables, (first, second))
    for sign, a, b in ((1, first, second), (-1, second, first)):
        chosen = rows[(rows["first"] == a) & (rows["second"] == b) & rows["measure"].isin(selector.measures)]
        for _, row in chosen.iterrows():
            about = {"quantity": f"{row['measure']}, {first} minus {second}", "file": str(path)} | origin
            if pd.isna(row["difference"]):
                yield Evidence(value=None, missing="the cell is empty", **about)
                continue
            seeds, mean = int(row["seeds"]), sign * float(row["difference"])
            words = row["verdict"] if isinstance(row["verdict"], str) else ""
            objection = words.removeprefix("no verdict: ") if words.startswith("no verdict") else ""
            yield Evidence(
                value=mean,
                seeds=seeds,
                objection=objection or _too_few(seeds),
                **_over_seeds(mean, row["difference_std"], seeds),
                **about,
            )


def _origin_of(path: Path, tables: Mapping[Path, pd.DataFrame], names: Sequence[str]) -> dict[str, Any]:
    """Return where the two contestants of a comparison were measured, from the table beside the verdicts."""
    rows = tables.get(path.with_name(path.name.replace("_verdicts", "")))
    if rows is None:
        return {"experiment": experiment_of(path)}
    wanted = {(contestant(name).sampler, contestant(name).variant) for name in names}
    # Read from a CSV, a column without any variant is one of floats, which cannot hold None.
    variant = rows["variant"].astype(object).where(rows["variant"].notna(), None)
    of_row = zip(rows["sampler"], variant, strict=True)
    return _origin([row for key, (_, row) in zip(of_row, rows.iterrows(), strict=True) if key in wanted])


def _cells(
    selector: Selector, path: Path, rows: pd.DataFrame, tables: Mapping[Path, pd.DataFrame]
) -> Iterator[Evidence]:
    """Yield a cell, or the ratio of two cells of one experiment, for every experiment of a table."""
    column = selector.column or "ratio"
    wanted = selector.ratio or [selector.value]
    rows = rows if "experiment" in rows else rows.assign(experiment=experiment_of(path))
    for name, here in rows.groupby("experiment", sort=False):
        found = [_select(here, row) for row in wanted]
        if any(each.empty for each in found):
            continue
        if selector.several and column in here:
            upwards = selector.several == "lowest"
            found = [each.sort_values(column, ascending=upwards).head(1) for each in found]
        quantity = f"{column}, " + " over ".join(_words(row) for row in wanted)
        about = {"quantity": quantity, "file": str(path)}
        several = [_words(row) for row, each in zip(wanted, found, strict=True) if len(each) > 1]
        if several or column not in here:
            reason = f"several rows have {several[0]}" if several else f"it has no column {column}"
            yield Evidence(value=None, missing=reason, experiment=name, **about)
            continue
        yield _evidence([each.iloc[0] for each in found], column, selector, about)


def _select(rows: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows whose cells are as wanted; null stands for an empty cell."""
    for key, value in wanted.items():
        if key not in rows:
            return rows.iloc[:0]
        rows = rows[rows[key].isna() if value is None else rows[key] == value]
    return rows


def _evidence(rows: Sequence[pd.Series], column: str, selector: Selector, about: dict[str, Any]) -> Evidence:
    """Return a cell, or the first cell over the second, with what is known of its spread."""
    about |= _origin(rows)
    values = [pd.to_numeric(row[column], errors="coerce") for row in rows]
    if any(pd.isna(value) for value in values) or (len(values) == 2 and not values[1]):
        told = ("missing", "notes", "note")
        notes = "; ".join(distinct(_text(row, key) for row in rows for key in told))
        return Evidence(value=None, missing=notes or "the cell is empty", **about)
    value = float(values[0] / values[1]) if len(values) == 2 else float(values[0])
    seeds = {_seeds(row) for row in rows}
    n = next(iter(seeds)) if len(seeds) == 1 else None
    about |= {"value": value, "seeds": n}
    if selector.exact:
        return Evidence(low=value, high=value, interval="a count, without spread", **about)
    for key in ("device", "n_samples", "seeds"):
        if len({str(row[key]) for row in rows if key in row}) > 1:
            return Evidence(objection=f"the two rows differ in {key}", **about)
    if any("busy" in _text(row, "notes") or row.get("busy") in (True, "True") for row in rows):
        return Evidence(objection="the machine was busy", **about)
    if any(f"{column}: " in _text(row, "notes") for row in rows):
        return Evidence(objection="too few images for this many features", **about)
    if any(space_of(column) in _text(row, "seen_spaces").split() for row in rows):
        return Evidence(objection="a loss has seen these features", **about)
    if f"{column}_std" not in rows[0]:
        return Evidence(**_bounds(rows, column), **about)
    shares = [row[f"{column}_std"] / cell for row, cell in zip(rows, values, strict=True)]
    std = value * math.hypot(*shares)  # to first order, as if the two were independent
    return Evidence(objection=_too_few(n or 0), **_over_seeds(value, std, n or 0), **about)


def _bounds(rows: Sequence[pd.Series], column: str) -> dict[str, Any]:
    """Return the interval that a table gives; of a ratio the widest that the two intervals allow."""
    ends = next((ends for ends in BOUNDS if f"{column}_{ends[0]}" in rows[0]), None)
    lows, highs = ([row[f"{column}_{end}"] for row in rows] for end in ends) if ends else ([None], [])
    if any(pd.isna(bound) for bound in (*lows, *highs)):
        return {"objection": "the table gives no interval"}
    low, high = (lows[0] / highs[1], highs[0] / lows[1]) if len(rows) == 2 else (lows[0], highs[0])
    return {
        "low": float(low),
        "high": float(high),
        "interval": _text(rows[0], "interval") or BOUNDS[ends],
    }


def _over_seeds(value: float, std: float | None, n: int) -> dict[str, Any]:
    bounds = t_interval(value, std, n)
    return {} if bounds is None else {"low": bounds[0], "high": bounds[1], "interval": OVER_SEEDS}


def _too_few(seeds: int) -> str:
    return "" if seeds >= FEWEST_SEEDS else f"{seeds} seed{'' if seeds == 1 else 's'}"


def _text(row: pd.Series, key: str) -> str:
    return row[key] if isinstance(row.get(key), str) else ""


def _seeds(row: pd.Series) -> int | None:
    text = _text(row, "seeds")
    return len(text.split()) if text else None


def _origin(rows: Sequence[pd.Series]) -> dict[str, Any]:
    """Return where rows were measured; what differs is told side by side."""
    keys = ("experiment", "device", "precision", "commit")
    return {key: "; ".join(distinct(_text(row, key) for row in rows)) or None for key in keys}
