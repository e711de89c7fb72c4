"""Can every number in the tables be traced to the file of a measuring job?

    python -m nfbench.verify [results]

Compares the hash of every measuring job's file with the one in measurements.csv, its rows with the rows
there, and every table with what the measurements give now; the committed references' tables likewise. Prints
one sentence for everything that does not fit, and exits with status 1 if anything does not.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from nfbench.errors import UserError
from nfbench.files import sha256_file
from nfbench.measurements import COLUMNS, THIS_RUN, read_rows
from nfbench.report.cells import read_measured
from nfbench.report.table_specs import read_specs
from nfbench.report.tables import build

ROOT = Path(__file__).resolve().parents[1]
ADDED = ("origin", "experiment", "source", "sha256")  # columns that joining fills in
TOLERANCE = 1e-9  # relative; sums may be taken in another order by another version of numpy


def problems(results: Path) -> Iterator[str]:
    """Yield what does not fit in a folder of results, a sentence each.

    Raises:
        UserError: there is nothing to check, or a file cannot be read.
    """
    joined = results / "measurements.csv"
    own = sorted(results.glob("*/measurements.csv"))
    if not own:
        raise UserError(f"{results} holds no measurements.csv; run snakemake to make it.")
    parts = [*own, *sorted((ROOT / "results/reference").glob("*/measurements.csv"))]
    experiments = {}
    for path in parts:
        rows, of_part = read_measured([path])
        experiments |= of_part
        yield from _sources(results, rows[rows["origin"] == THIS_RUN])
        yield from _tables(path.parent / "report/tables", rows, of_part)
        yield from _tables(path.parent, rows, of_part)
    if joined.is_file():
        yield from _tables(results, read_rows(joined), experiments)


def _sources(results: Path, rows: pd.DataFrame) -> Iterator[str]:
    """Yield where rows differ from the files of the jobs that measured them."""
    for (source, digest), of_file in rows.groupby(["source", "sha256"], sort=False):
        path = results / source
        if not path.is_file():
            yield f"{path} is missing, which {len(of_file)} measurements come from."
        elif sha256_file(path) != digest:
            yield f"{path} has changed since its {len(of_file)} measurements were collected."
        else:
            columns = [name for name in COLUMNS if name not in ADDED]
            if not of_file[columns].reset_index(drop=True).equals(read_rows(path)[columns]):
                yield f"{path} holds other numbers than were collected from it."


def _tables(folder: Path, rows: pd.DataFrame, experiments: dict) -> Iterator[str]:
    """Yield where the tables of a folder differ from what the measurements give."""
    for name, spec in read_specs(ROOT / "config/tables.yaml").items():
        path = folder / f"{name}.csv"
        if not path.is_file():
            continue
        spec = spec.model_copy(update={"references": True}) if "reference" in folder.parts else spec
        kept = pd.read_csv(path, dtype=str, keep_default_na=False)
        made = build(spec, rows, experiments).to_csv(index=False)
        again = pd.read_csv(StringIO(made), dtype=str, keep_default_na=False)
        yield from _differences(str(path), kept, again)


def _differences(table: str, kept: pd.DataFrame, made: pd.DataFrame) -> Iterator[str]:
    if list(kept.columns) != list(made.columns) or len(kept) != len(made):
        yield (
            f"{table} has other rows or columns than its measurements give; make it again by snakemake, a"
            " kept run's by python -m nfbench.keep."
        )
        return
    for name in kept.columns:
        for i, (a, b) in enumerate(zip(kept[name], made[name], strict=True)):
            if not _same(a, b):
                given = f"{a or 'nothing'}; the measurements give {b or 'nothing'}"
                yield f"{table}, row {i + 1}, column {name}: {given}."


def _same(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return math.isclose(float(a), float(b), rel_tol=TOLERANCE)
    except ValueError:
        return False


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what does not fit.

    Raises:
        SystemExit: with status 1 where anything does not fit, or cannot be checked.
    """
    parser = argparse.ArgumentParser(prog="python -m nfbench.verify", description="Trace every number.")
    parser.add_argument("results", nargs="?", default="results", help="folder of results (default: results)")
    try:
        found = list(problems(Path(parser.parse_args(arguments).results)))
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    for sentence in found:
        print(sentence)
    if found:
        raise SystemExit(f"{len(found)} things do not fit.")
    print("Every number is traced.")


if __name__ == "__main__":
    main()
