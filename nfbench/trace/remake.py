"""Making tables a second time from their files, to compare them with what was written.

A recipe is plain JSON, kept in the manifest:
    kind      table1, comparison, table4, budget, claims; of any other only the files' hashes are compared
    files     paths by kind
    parts     of table1: a recipe for each experiment, with its samplers and files
    registers of table1: the packages that register its samplers
    ...       what else `remake` takes of it
"""

import math
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from nfbench.measure.budget import budget_table
from nfbench.report.claims import read_claims
from nfbench.report.claims_table import claims_tables
from nfbench.report.evidence_tables import read_tables
from nfbench.report.paper_numbers import read_paper_numbers
from nfbench.report.table4 import table4
from nfbench.trace.collect import collect_comparison, collect_table1

TOLERANCE = 1e-9  # relative; sums may be taken in another order by another version of numpy


def remake(recipe: Mapping[str, Any], root: str | Path) -> dict[str, pd.DataFrame]:
    """Make a table's CSVs again: the table itself under "", others under what is added to its name.

    Args:
        recipe: its paths as they are to be opened.
        root: folder that the workflow ran in.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    files = recipe.get("files", {})
    if recipe["kind"] == "table1":
        parts = recipe["parts"].items()
        rows = [collect_table1(name, part["samplers"], part["files"]) for name, part in parts]
        return {"": pd.concat([written(part) for part in rows], ignore_index=True)}
    if recipe["kind"] == "comparison":
        described = (recipe["experiment"], recipe["table"], recipe["rows"], recipe["base"])
        table, verdicts = collect_comparison(*described, files)
        return {"": table, "_verdicts": verdicts}
    if recipe["kind"] == "table4":
        return {"": table4(files["tables"], files["references"], read_paper_numbers(), recipe["commit"])}
    if recipe["kind"] == "budget":
        (floor,) = files["floor"]
        return {"": pd.DataFrame(budget_table(files["flows"], files["arms"], floor, recipe["spaces"])[2])}
    if recipe["kind"] == "claims":
        schema = yaml.safe_load(Path(files["schema"][0]).read_text())
        claims = read_claims(files["claims"][0], schema)
        lines, measured = claims_tables(claims, read_tables(files["tables"]), root)
        return {"": lines, "_evidence": measured}
    return {}


def written(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it reads after it was written: all cells text."""
    return as_text(StringIO(rows.to_csv(index=False)))


def as_text(file: str | Path | StringIO) -> pd.DataFrame:
    """Read a CSV with all cells as text, empty ones as "", so that nothing changes on the way."""
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def differences(table: str, kept: pd.DataFrame, made: pd.DataFrame) -> list[str]:
    """Say in a sentence each where a table differs from what its files give.

    Args:
        kept: the table as it stands, of `as_text`.
        made: the table made again.
    """
    made = written(made)
    if list(kept.columns) != list(made.columns):
        odd = sorted(set(kept.columns) ^ set(made.columns))
        return [f"{table} has other columns than its files give: {', '.join(odd) or 'their order differs'}."]
    if len(kept) != len(made):
        return [f"{table} has {len(kept)} rows, its files give {len(made)}."]
    return [
        f"{table}, row {i + 1}{_named(kept.iloc[i])}, column {name}: the table says"
        f" {kept[name][i] or 'nothing'}, its files give {made[name][i] or 'nothing'}."
        for i in range(len(kept))
        for name in kept.columns
        if not same(kept[name][i], made[name][i])
    ]


def _named(row: pd.Series) -> str:
    keys = ("experiment", "sampler", "variant", "first", "second", "id", "quantity")
    names = [row[key] for key in keys if row.get(key)]
    return f" ({', '.join(names)})" if names else ""


def same(a: str, b: str) -> bool:
    """Tell whether two cells say the same, numbers to rounding."""
    if a == b:
        return True
    try:
        return math.isclose(float(a), float(b), rel_tol=TOLERANCE)
    except ValueError:
        return False
