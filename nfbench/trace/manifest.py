"""Where every table comes from: its files with their hashes, and how to make it again.

What makes a table writes such an entry beside it, {table}_origin.json; the manifest collects them. Paths
are relative to the folder of results, so that it can be moved as a whole.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.errors import UserError
from nfbench.files import sha256_file

VERSION = 1
ORIGIN = "_origin.json"  # follows the name of a table
# What is told of each origin; more than one value tells of a table made in several places.
TOLD = ("commit", "lock", "device", "driver", "precision", "versions", "python", "cuda", "threads")


def traced(table: str | Path, recipe: Mapping[str, Any], results: str | Path) -> dict[str, Any]:
    """Return a table's entry in the manifest.

    Args:
        table: path of the CSV.
        recipe: how it is made, with the paths of its files, see `nfbench.trace.remake`.
        results: folder that paths are relative to.

    Returns:
        sha256; origins of the files, each once; their commits, and whether one of them had uncommitted
        changes (dirty); seeds; files (sha256 by path); recipe.

    Raises:
        UserError: a file is missing.
    """
    files = [path for kind in recipe["files"].values() for path in kind]
    missing = [path for path in files if not Path(path).is_file()]
    if missing:
        raise UserError(f"{missing[0]} is missing, which {table} is made of; run snakemake {table}.")
    origins = distinct_origins(origin for path in files for origin in origins_in(path))
    hashes = {relative(path, results): sha256_file(path) for path in files}
    return _entry(Path(table), origins, hashes, mapped(recipe, lambda path: relative(path, results)))


def joined(
    table: str | Path, parts: Mapping[str, dict[str, Any]], recipe: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the entry of a table that joins others, from their entries by experiment; see `traced`."""
    origins = distinct_origins(origin for part in parts.values() for origin in part["origins"])
    hashes = {path: digest for part in parts.values() for path, digest in part["files"].items()}
    recipes = {name: part["recipe"] for name, part in parts.items()}
    return _entry(Path(table), origins, hashes, {**recipe, "parts": recipes})


def _entry(
    table: Path, origins: list[dict[str, Any]], hashes: dict[str, str], recipe: dict[str, Any]
) -> dict[str, Any]:
    commits = list(dict.fromkeys(str(origin["commit"]) for origin in origins if "commit" in origin))
    return {
        "sha256": sha256_file(table),
        "commits": commits,
        "dirty": any(commit.endswith("+dirty") for commit in commits),
        "seeds": seeds_in(table),
        "origins": origins,
        "files": hashes,
        "recipe": recipe,
    }


def with_forms(entry: dict[str, Any], table: Path, results: str | Path) -> dict[str, Any]:
    """Return an entry with the hashes of the table's other forms, and of what stands beside it."""
    endings = (".md", ".tex", "_paper.md", "_verdicts.csv", "_evidence.csv")
    paths = [table.with_name(table.stem + ending) for ending in endings]
    return entry | {"forms": {relative(path, results): sha256_file(path) for path in paths if path.is_file()}}


def relative(path: str | Path, results: str | Path) -> str:
    """Return a path as the manifest has it."""
    return Path(os.path.relpath(path, results)).as_posix()


def mapped(recipe: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Return a recipe with every path changed."""
    changed = dict(recipe)
    if "files" in recipe:
        changed["files"] = {kind: [change(path) for path in paths] for kind, paths in recipe["files"].items()}
    if "parts" in recipe:
        changed["parts"] = {name: mapped(part, change) for name, part in recipe["parts"].items()}
    return changed


def origins_in(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield what a file says of where it was made: a measurement, a benchmark, or rows of another table."""
    path = Path(path)
    if path.suffix == ".json":
        yield from _origins(json.loads(path.read_text()))
    elif path.suffix == ".csv":
        rows = pd.read_csv(path, dtype=str)
        for _, row in rows.reindex(columns=["commit", "device", "precision"]).drop_duplicates().iterrows():
            for commit in str(row["commit"]).split() if row.notna()["commit"] else []:
                yield {**row.dropna().to_dict(), "commit": commit}


def _origins(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _origins(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict) and (key.endswith("provenance") or key == "extra_info"):
                yield {name: item[name] for name in TOLD if item.get(name) is not None}
            else:
                yield from _origins(item)


def distinct_origins(origins: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return origins each once, in the order in which they come."""
    return list({json.dumps(origin, sort_keys=True): origin for origin in origins if origin}.values())


def seeds_in(table: Path) -> list[int]:
    """Return the seeds that a table's rows name."""
    rows = pd.read_csv(table, dtype=str)
    named = rows["seeds"].dropna() if "seeds" in rows and table.stem != "claims" else []
    return sorted({int(seed) for cell in named for seed in cell.split()})
