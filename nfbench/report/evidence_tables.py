"""The tables that claims are read from: those of the workflow, and the ratios that are kept as Markdown."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.errors import UserError

TABLES = (
    *("table1.csv", "table2.csv", "table3.csv", "table2_verdicts.csv", "table3_verdicts.csv"),
    *("editing.csv", "speed.csv", "ratios.md"),
)
VERDICTS = {"first", "second", "measure", "difference", "difference_std", "seeds", "verdict"}
_TEXT = {"commit": str, "seeds": str}  # what looks like a number and is none
_QUARTILES = re.compile(r"([\d.]+) \(([\d.]+) to ([\d.]+)\)")
_BESIDE = " (quartiles)"  # after the name of a pair, in the header of its ratios


def read_tables(paths: Sequence[str | Path]) -> dict[Path, pd.DataFrame]:
    """Read the tables that are there and that claims may be read from; others are passed over.

    Raises:
        UserError: one is there and cannot be read.
    """
    found = {}
    for path in map(Path, paths):
        if path.name not in TABLES or not path.is_file():
            continue
        try:
            found[path] = read_ratios(path) if path.suffix == ".md" else pd.read_csv(path, dtype=_TEXT)
        except (OSError, ValueError) as error:  # pandas' and the decoder's errors are ValueErrors
            raise UserError(f"{path} cannot be read ({error}); make it again or remove it.") from None
        if path.stem.endswith("_verdicts") and not set(found[path]) >= VERDICTS:
            raise UserError(f"{path} is of another version; make it again or remove it.")
    return found


def read_ratios(path: Path) -> pd.DataFrame:
    """Read what `nfbench.measure.ratios.ratio_table` wrote: a row per cell and pair of contestants.

    Columns: tokens, batch_size, guidance, pair (first/second), ratio of times, ratio_low and ratio_high
    (quartiles over rounds), notes, device, commit.
    """
    rows: list[dict[str, Any]] = []
    for part in path.read_text().strip().split("\n\n"):
        if part.startswith("|"):
            lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in part.splitlines()]
            for cells in lines[2:]:
                rows += _of_line(dict(zip(lines[0], cells, strict=True)))
        else:  # the line under a table says where it is from
            commit = re.search(r"commit ([^,\s]+)", part)
            for row in rows:
                row.setdefault("device", part.split(",")[0])
                row.setdefault("commit", commit and commit[1])
    return pd.DataFrame(rows)


def _of_line(cells: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield one row per pair of contestants in a line of the table."""
    if not {"T", "batch", "guidance", "machine"} <= set(cells):
        raise ValueError("it is no table of ratios")
    setting = {"tokens": int(cells["T"]), "batch_size": int(cells["batch"])}
    setting["guidance"] = float(cells["guidance"])
    setting["interval"] = "quartiles over rounds"
    setting["notes"] = "the machine was busy" if cells["machine"].startswith("busy") else ""
    for name, cell in cells.items():
        if not name.endswith(_BESIDE):
            continue
        found = _QUARTILES.fullmatch(cell)
        if not found:
            raise ValueError(f"'{cell}' is no ratio with quartiles")
        median, low, high = map(float, found.groups())
        pair = name.removesuffix(_BESIDE)
        yield setting | {"pair": pair, "ratio": median, "ratio_low": low, "ratio_high": high}
