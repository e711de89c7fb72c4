"""Tables as files: CSV of all columns, Markdown and LaTeX (booktabs) of those that have a heading."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.files import atomic_path
from nfbench.report.table_specs import Column, TableSpec

MISSING, MARK = "–", "†"
ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}
IN_LATEX = {
    "–": "--",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "†": r"\textsuperscript{\dag}",
}


def number(value: Any, form: str | None = None) -> str:
    """Return a number to three or four digits, or as asked; text as it is, and a dash for nothing."""
    if value is None or value != value or value == "":
        return MISSING
    if isinstance(value, str):
        return value
    if form:
        return format(value, form)
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.1e}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def write(
    frame: pd.DataFrame, spec: TableSpec, folder: str | Path, verdicts: pd.DataFrame | None = None
) -> None:
    """Write NAME.csv, NAME.md and NAME.tex, and NAME_verdicts.csv where there are verdicts.

    Args:
        frame: of `nfbench.report.tables.build`.
        verdicts: of `nfbench.report.tables.verdicts`; as sentences they stand below the Markdown table.
    """
    path = Path(folder) / spec.name
    columns, texts = printed(frame, spec)
    bold = pd.DataFrame(False, texts.index, texts.columns)
    for i, name in frame.attrs["bold"]:
        if name in columns:
            bold.loc[i, columns[name]] = True
    lines = [f"## {spec.title}", spec.caption, in_markdown(texts, bold, columns, frame), legend(texts, frame)]
    if verdicts is not None:
        _write(path.with_name(f"{spec.name}_verdicts.csv"), lambda to: verdicts.to_csv(to, index=False))
        lines.append("\n".join(f"- {sentence}" for sentence in sentences(verdicts)))
    _write(path.with_suffix(".csv"), lambda to: frame.to_csv(to, index=False))
    _write(path.with_suffix(".md"), lambda to: to.write_text("\n\n".join(filter(None, lines)) + "\n"))
    _write(path.with_suffix(".tex"), lambda to: to.write_text(in_latex(texts, bold, columns, frame)))


def _write(path: Path, writer: Callable[[Path], Any]) -> None:
    with atomic_path(path) as temporary:
        writer(temporary)


def printed(frame: pd.DataFrame, spec: TableSpec) -> tuple[dict[str, str], pd.DataFrame]:
    """Return the headings by column, and the printed cells; columns without any value are left out."""
    shown = [c for c in spec.columns if c.heading and frame[c.name].replace("", None).notna().any()]
    headings = {column.name: column.heading + ARROWS[column.direction] for column in shown}
    cells = {headings[column.name]: _column(frame, column) for column in shown}
    return headings, pd.DataFrame(cells, index=frame.index, dtype=object)


def _column(frame: pd.DataFrame, column: Column) -> list[str]:
    stds = frame.get(f"{column.name}_std", pd.Series(None, frame.index, dtype=object))
    texts = []
    for i, value, std in zip(frame.index, frame[column.name], stds, strict=True):
        spread = "" if pd.isna(std) else f" ± {number(std, column.format)}"
        mark = MARK if (i, column.name) in frame.attrs["marked"] else ""
        texts.append(number(value, column.format) + spread + mark)
    return texts


def _alignment(columns: dict[str, str], frame: pd.DataFrame) -> list[str]:
    return ["right" if pd.api.types.is_numeric_dtype(frame[name]) else "left" for name in columns]


def in_markdown(texts: pd.DataFrame, bold: pd.DataFrame, columns: dict[str, str], frame: pd.DataFrame) -> str:
    """Return printed cells as a Markdown table."""
    if texts.empty:
        return "Nothing was measured."
    marked = texts.map(lambda text: text.replace("|", "/")).mask(bold, "**" + texts + "**")
    return marked.to_markdown(index=False, disable_numparse=True, colalign=_alignment(columns, frame))


def in_latex(texts: pd.DataFrame, bold: pd.DataFrame, columns: dict[str, str], frame: pd.DataFrame) -> str:
    """Return printed cells as a LaTeX table for the package booktabs."""
    weights = bold.map(lambda is_bold: "textbf:--rwrap;" if is_bold else "")
    style = texts.style.format(escape="latex").format_index(escape="latex", axis=1).hide(axis="index")
    align = "".join(side[0] for side in _alignment(columns, frame))
    text = style.apply(lambda _: weights, axis=None).to_latex(hrules=True, column_format=align)
    for character, command in IN_LATEX.items():
        text = text.replace(character, command)
    return f"% needs \\usepackage{{booktabs}}\n{text}"


def legend(texts: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Return what bold, ± and the marks mean, as far as they occur."""
    every = "".join(text for column in texts for text in texts[column])
    known = {
        "Bold: the best value and all that are tied with it: within its interval, or the same images.": bool(
            frame.attrs["bold"]
        ),
        "±: standard deviation over seeds.": "±" in every,
        f"{MARK}: not compared: a loss has seen these features, too few images, or a busy machine.": MARK
        in every,
        f"{MISSING}: not measured.": MISSING in every,
    }
    return " ".join(text for text, occurs in known.items() if occurs)


def sentences(verdicts: pd.DataFrame) -> list[str]:
    """Return one sentence per compared pair, with its verdict in every column."""
    found = []
    if verdicts.empty:
        return found
    for (first, second), rows in verdicts.groupby(["first", "second"], sort=False):
        published = rows["paper_difference"].iloc[0]
        claim = f"{first} against {second}"
        if published and not pd.isna(published):
            claim = f"{first} {'below' if published < 0 else 'above'} {second}, as published"
        several = rows["experiment"].nunique() > 1
        parts = [(f"{row['experiment']}, " if several else "") + _sentence(row) for _, row in rows.iterrows()]
        found.append(f"{claim}: " + "; ".join(parts) + ".")
    return found


def _sentence(row: pd.Series) -> str:
    if pd.isna(row["difference"]):
        return f"{row['measure']} {row['verdict']}"
    numbers = f"{row['difference']:+.3g}"
    if not pd.isna(row["difference_std"]):
        numbers += f" ± {row['difference_std']:.2g}, p = {row['p']:.2g}"
    return f"{row['measure']} {row['verdict']} ({numbers})"
