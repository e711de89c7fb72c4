"""Tables ready to paste into a paper: LaTeX with booktabs, and compact Markdown.

In every column that has a direction the best value is bold, and with it all values within its interval.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.files import atomic_path
from nfbench.report.paper_layouts import LAYOUTS, Column, Layout
from nfbench.report.seed_intervals import FEWEST_SEEDS, t_interval

MISSING = "–"
MARKED = "†"


@dataclass(frozen=True)
class Cell:
    """A printed cell.

    Attributes:
        value: text or number, None where it was not measured.
        std: over seeds.
        bold: best of its column, or within the best one's interval.
        marked: not to be compared: too few images, or a loss has seen these features.
    """

    value: Any
    std: float | None = None
    bold: bool = False
    marked: bool = False


def cells(rows: pd.DataFrame, layout: Layout) -> tuple[list[Column], list[list[Cell]]]:
    """Return the columns of a layout that a table has and fills, and its rows.

    Columns with no value at all are left out.
    """
    rows = rows.reset_index(drop=True)
    columns = [c for c in layout.columns if c.name in rows and rows[c.name].notna().any()]
    by_column = [
        _column(rows, column, [name for name in layout.within if name in rows]) for column in columns
    ]
    return columns, [list(row) for row in zip(*by_column, strict=True)]


def _column(rows: pd.DataFrame, column: Column, within: list[str]) -> list[Cell]:
    """Return one column's cells, the best among the rows that `within` has in common in bold."""
    marked = [column.better is not None and _is_marked(row, column) for _, row in rows.iterrows()]
    bold: set[int] = set()
    if column.better:
        groups = rows.groupby(within, sort=False, dropna=False) if within else [((), rows)]
        for _, group in groups:
            bold |= _best(group.loc[[i for i in group.index if not marked[i]]], column)
    found = []
    for i, row in rows.iterrows():
        value, std = row[column.name], row.get(f"{column.name}_std")
        value, std = (None if pd.isna(cell) else cell for cell in (value, std))
        found.append(Cell(value, std, i in bold, marked[i] and value is not None))
    return found


def _is_marked(row: pd.Series, column: Column) -> bool:
    """Tell cells that no verdict may be drawn from."""
    notes, seen = (row.get(key) for key in ("notes", "seen_spaces"))
    noted = isinstance(notes, str) and f"{column.name}: " in notes
    return noted or (isinstance(seen, str) and column.space in seen.split())


def _best(rows: pd.DataFrame, column: Column) -> set[int]:
    """Return the indices of the best of several values, of all within its interval, or printed alike."""
    values = pd.to_numeric(rows[column.name]).dropna()
    if len(values) < 2:
        return set()
    best = values.idxmin() if column.better == "lower" else values.idxmax()
    low, high = _interval(rows.loc[best], column.name) or (values[best], values[best])
    printed = number(values[best])
    return {i for i, value in values.items() if low <= value <= high or number(value) == printed}


def _interval(row: pd.Series, name: str) -> tuple[float, float] | None:
    """Return a cell's interval: over seeds where there are enough, else the table's own, if any."""
    seeds = str(row.get("seeds", "")).split()
    std = row.get(f"{name}_std", math.nan)
    if len(seeds) >= FEWEST_SEEDS and (found := t_interval(row[name], std, len(seeds))):
        return found
    for ends in (("low", "high"), ("ci_low", "ci_high")):
        low, high = (row.get(f"{name}_{end}", math.nan) for end in ends)
        if not (pd.isna(low) or pd.isna(high)):
            return low, high
    return None


def number(value: Any) -> str:
    """Return a number to three or four digits; text as it is."""
    if isinstance(value, str):
        return value
    value = float(value)
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.1e}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def write_paper_markdown(path: str | Path, rows: pd.DataFrame, table: str) -> None:
    """Write a table as compact Markdown; `table` is a key of LAYOUTS."""
    columns, body = cells(rows, LAYOUTS[table])
    arrows = {"lower": " ↓", "higher": " ↑", None: ""}
    header = [column.heading + arrows[column.better] for column in columns]
    numeric = [_is_numeric(row) for row in zip(*body, strict=True)]
    lines = [header, ["---:" if right else "---" for right in numeric]]
    lines += [[_in_markdown(cell) for cell in row] for row in body]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    _write(path, f"{text}\n\n{legend(body)}\n")


def _in_markdown(cell: Cell) -> str:
    text = _cell_text(cell, lambda text: text.replace("|", "/"), " ± ") + MARKED * cell.marked
    return f"**{text}**" if cell.bold else text


def write_paper_latex(path: str | Path, rows: pd.DataFrame, table: str) -> None:
    """Write a table as LaTeX for the package booktabs; `table` is a key of LAYOUTS."""
    columns, body = cells(rows, LAYOUTS[table])
    arrows = {"lower": r" $\downarrow$", "higher": r" $\uparrow$", None: ""}
    header = [escape(column.heading) + arrows[column.better] for column in columns]
    align = "".join("r" if _is_numeric(row) else "l" for row in zip(*body, strict=True))
    lines = [
        *(r"% needs \usepackage{booktabs}", rf"\begin{{tabular}}{{{align}}}", r"\toprule"),
        *(" & ".join(header) + r" \\", r"\midrule"),
        *(" & ".join(map(_in_latex, row)) + r" \\" for row in body),
        *(r"\bottomrule", r"\end{tabular}", f"% {legend(body)}"),
    ]
    _write(path, "\n".join(lines) + "\n")


def _in_latex(cell: Cell) -> str:
    text = _cell_text(cell, escape, r" $\pm$ ").replace(MISSING, "--")
    text += r"\textsuperscript{\dag}" * cell.marked
    return rf"\textbf{{{text}}}" if cell.bold else text


def _cell_text(cell: Cell, escaped: Callable[[str], str], plus_minus: str) -> str:
    if cell.value is None:
        return MISSING
    spread = "" if cell.std is None else plus_minus + escaped(number(cell.std))
    return escaped(number(cell.value)) + spread


_LATEX: Mapping[str, str] = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
}


def escape(text: str) -> str:
    """Return text with LaTeX's own characters made plain."""
    return "".join(_LATEX.get(character, character) for character in text)


def _is_numeric(column: tuple[Cell, ...]) -> bool:
    return not any(isinstance(cell.value, str) for cell in column)


def legend(body: list[list[Cell]]) -> str:
    """Say what bold, ± and the mark mean, as far as they occur."""
    every = [cell for row in body for cell in row]
    parts = []
    if any(cell.bold for cell in every):
        parts.append("Bold: the best value and all within its interval; the best alone where it has none.")
    if any(cell.std is not None for cell in every):
        parts.append("±: standard deviation over seeds.")
    if any(cell.marked for cell in every):
        parts.append(f"{MARKED}: not compared, too few images or features that a loss has seen.")
    return " ".join([*parts, f"{MISSING}: not measured."])


def _write(path: str | Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
