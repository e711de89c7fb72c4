"""Can every number in the tables be traced to its file?

    python -m nfbench.verify [results]

Reads manifest.json in the folder of results, compares the hashes of the tables and of all files that they
are made of, makes the tables a second time where that is cheap, and compares the hashes of the committed
references. Says in one sentence each what does not fit, and exits with status 1 if anything does not.
"""

import argparse
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nfbench.errors import UserError
from nfbench.files import read_json, sha256_file
from nfbench.trace.manifest import ORIGIN, VERSION, mapped
from nfbench.trace.remake import as_text, differences, remake

TABLES = ("table?.csv", "claims.csv", "budget.csv")  # what a folder of results may hold
MAKE = "snakemake results/manifest.json"
PACKAGES = Path(__file__).resolve().parents[1]  # of this checkout


def problems(results: Path) -> list[str]:
    """Return what does not fit in a folder of results, a sentence each; empty where all is traced.

    Raises:
        UserError: there is neither a manifest nor a committed reference, or the manifest cannot be read.
    """
    references = sorted(results.glob("reference/*/*.json"))
    manifest = results / "manifest.json"
    if not manifest.is_file() and not references:
        raise UserError(f"{manifest} is missing; make it with: {MAKE}")
    found = [sentence for path in references for sentence in _reference(results, path)]
    if manifest.is_file():
        return [*_manifest(manifest), *found]
    loose = [f"{path} is there without {manifest}; make that with: {MAKE}" for path in _tables(results)]
    return [*loose, *found]


def _tables(results: Path) -> list[Path]:
    return sorted(path for pattern in TABLES for path in results.glob(pattern))


def _manifest(path: Path) -> Iterator[str]:
    """Yield what does not fit between a manifest and its folder."""
    content, results = read_json(path), path.parent
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise UserError(f"{path} is no manifest of this version; make it again with: {MAKE}")
    for table in _tables(results):
        if table.name not in content["tables"]:
            yield f"{table} is not in {path}; make that again with: {MAKE}"
    for name, entry in content["tables"].items():
        yield from _table(results, name, entry)


def _table(results: Path, name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield what does not fit in a table, its other forms, and the files that it is made of."""
    yield from _compare(results, {name: entry["sha256"], **entry.get("forms", {}), **entry["files"]})
    if (results / name).is_file():
        yield from _again(results, name, entry["recipe"])


def _register(names: Sequence[str]) -> None:
    """Import the packages that register a table's samplers, which must lie beside this one.

    Raises:
        UserError: one of them does not.
    """
    for name in names:
        if not name.isidentifier() or not (PACKAGES / name / "__init__.py").is_file():
            raise UserError(f"'{name}' is no package beside nfbench that registers samplers.")
        importlib.import_module(name)


def _compare(folder: Path, hashes: Mapping[str, str]) -> Iterator[str]:
    """Yield the files that are gone or are not what they were."""
    for name, expected in hashes.items():
        path = Path(os.path.normpath(folder / name))
        if not path.is_file():
            yield f"{path} is missing."
        elif sha256_file(path) != expected:
            yield f"{path} has changed since the manifest was written."


def _again(results: Path, name: str, recipe: Mapping[str, Any]) -> Iterator[str]:
    """Yield where a table differs from what its files give now."""
    here = mapped(recipe, lambda path: os.path.normpath(results / path))
    try:
        _register(recipe.get("registers", []))
        made = remake(here, results.resolve().parent)
    except UserError as error:
        yield f"{results / name} cannot be made again: {error}"
        return
    for suffix, rows in made.items():
        path = (results / name).with_name(f"{Path(name).stem}{suffix}.csv")
        yield from differences(str(path), as_text(path), rows) if path.is_file() else [f"{path} is missing."]


def _reference(results: Path, path: Path) -> Iterator[str]:
    """Yield what does not fit between a manifest of committed results, or a table's entry, and the files."""
    content = read_json(path)
    if path.name.endswith(ORIGIN):
        table = path.with_name(path.name.removesuffix(ORIGIN) + ".csv")
        yield from _table(results, table.relative_to(results).as_posix(), content)
    elif isinstance(content, dict) and isinstance(content.get("files"), dict):
        yield from _compare(path.parent, content["files"])


def remarks(results: Path) -> Iterator[str]:
    """Yield what a reader should know of tables that are traced: several commits, or uncommitted changes."""
    manifest = results / "manifest.json"
    for name, entry in read_json(manifest)["tables"].items() if manifest.is_file() else ():
        told = f"{results / name}: {len(entry['files'])} files"
        if len(entry["commits"]) > 1:
            told += f", made at {len(entry['commits'])} commits"
        yield told + (", some with uncommitted changes." if entry["dirty"] else ".")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what does not fit.

    Raises:
        SystemExit: with status 1 where anything does not fit, or cannot be checked.
    """
    parser = argparse.ArgumentParser(
        prog="python -m nfbench.verify",
        description="Verify that every number in the tables can be traced to its file.",
    )
    parser.add_argument("results", nargs="?", default="results", help="folder of results (default: results)")
    results = Path(parser.parse_args(arguments).results)
    try:
        found = problems(results)
        told = list(remarks(results))
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    for sentence in [*told, *found]:
        print(sentence)
    if found:
        raise SystemExit(f"{len(found)} things do not fit.")
    print("Every number is traced.")


if __name__ == "__main__":
    main()
