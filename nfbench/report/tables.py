"""Tables: queries on measurement rows, described in config/tables.yaml.

A cell that was not measured is empty, never zero.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.errors import UserError
from nfbench.report.cells import EMPTY, NOT_COMPARED, Cell, Cells, Key, distinct
from nfbench.report.derived import with_derived
from nfbench.report.paper_numbers import COLUMNS as PAPER_COLUMNS
from nfbench.report.paper_numbers import paper_number, read_paper_numbers
from nfbench.report.table_specs import COMPARED, Column, TableSpec, matches, read_specs
from nfbench.report.table_text import write
from nfbench.stats import LEVEL, Comparison

__all__ = ["build", "make", "read_specs", "verdicts"]

DATA_ROWS = ("real", "real+noise", "class-means")  # images that no model draws are compared with nothing
SAME_IMAGES = 1e-3  # relative difference of distances that rounding makes between exact inverses of one flow
Row = dict[str, Any]  # keys and attributes of a table's row
Experiments = Mapping[Key, Mapping[str, Any]]


def build(spec: TableSpec, measurements: pd.DataFrame, experiments: Experiments) -> pd.DataFrame:
    """Return a table's cells; rows of which nothing was measured are left out.

    Args:
        measurements: rows of one or several experiments, see `nfbench.measurements`.
        experiments: resolved experiments by (origin, experiment).

    Returns:
        A row a line; `attrs` holds which cells are printed bold ("bold") and marked as not compared
        ("marked"), as pairs of a row's index and a column's name.

    Raises:
        UserError: distances of one experiment are of different numbers of images.
    """
    cells = with_derived(measurements, experiments)
    rows = _measured_rows(spec, cells)
    _check_comparable(rows)
    lines = [_line(spec, row, found, cells) for row, found in rows]
    frame = pd.DataFrame([*lines, *_published(spec)], columns=[column.name for column in spec.columns])
    frame.attrs = {"bold": _bold(spec, rows), "marked": _marked(spec, rows)}
    return frame


def make(
    spec: TableSpec, measurements: pd.DataFrame, experiments: Experiments, folder: str | Path
) -> pd.DataFrame:
    """Build a table and its verdicts, write them into a folder, and return the table; see `build`."""
    frame = build(spec, measurements, experiments)
    write(frame, spec, folder, verdicts(spec, measurements, experiments) if spec.verdicts else None)
    return frame


def _rows(spec: TableSpec, cells: Cells) -> Iterator[Row]:
    """Yield the keys and attributes of a table's rows, in order."""
    for key in cells.keys:
        if key[0].startswith("reference") and not spec.references:
            continue
        known, rows = cells.rows.get(key, {}), []
        names = [
            name
            for name in (cells.samplers(key, spec.anchor) if spec.anchor else known)
            if all(matches(known.get(name, {}).get(k), wanted) for k, wanted in spec.rows.items())
        ]
        if spec.baseline_first and names and spec.baseline in known:
            names = [spec.baseline, *(name for name in names if name != spec.baseline)]
        for name in names:
            row = known.get(name, {}) | {"origin": key[0], "experiment": key[1], "sampler": name}
            rows += [row | more | {"extra": more} for more in _extras(spec, cells, key, name)]
        yield from sorted(rows, key=_order(spec, rows))


def _extras(spec: TableSpec, cells: Cells, key: Key, name: str) -> list[dict[str, Any]]:
    """Return the values of a table's further keys, of which a sampler has a row each."""
    if not spec.extra:
        return [{}]
    records = cells.records(key, name, spec.anchor, space=None, task=None, precision=None)
    found = dict.fromkeys(tuple(record[k] for k in spec.extra) for record in records)
    return [dict(zip(spec.extra, values, strict=True)) for values in found]


def _order(spec: TableSpec, rows: Sequence[Row]) -> Any:
    """Return a sorting key: texts as they first appear, numbers by size, the baseline first if asked."""
    places = {
        key: {value: i for i, value in enumerate(dict.fromkeys(row[key] for row in rows))}
        for key in spec.keys
        if any(isinstance(row[key], str) for row in rows)
    }

    def place(row: Row) -> tuple:
        below = not (spec.baseline_first and row["sampler"] == spec.baseline)
        return below, *(places[key][row[key]] if key in places else row[key] for key in spec.keys)

    return place


def _measured_rows(spec: TableSpec, cells: Cells) -> list[tuple[Row, dict[str, Cell]]]:
    """Return the rows of which something was measured, with their cells."""
    own = [column.name for column in spec.columns if column.of == "sampler"]
    rows = [(row, {c.name: _cell(c, row, cells) for c in spec.columns}) for row in _rows(spec, cells)]
    return [(row, found) for row, found in rows if any(found[name].records for name in own)]


def _cell(column: Column, row: Row, cells: Cells) -> Cell:
    """Return the measurements behind a cell; none behind an attribute."""
    metric = _metric(column, row)
    if not metric:
        return EMPTY
    key, where = (row["origin"], row["experiment"]), _where(column, row)
    if column.of in ("flow", "reverse"):
        has_step = column.of == ("reverse" if row.get("learned") else "flow")
        found = cells.of_model(
            key, row.get(column.of), metric, row.get("step") if has_step else None, **where
        )
    elif column.stat == "blocks":
        names = cells.metrics(key, row["sampler"], metric)
        found = Cell(records=[r for name in names for r in cells.records(key, row["sampler"], name, **where)])
    else:
        found = cells.cell(key, row["sampler"] if column.of == "sampler" else column.of, metric, **where)
    return found.inverse(column.inverse) if column.inverse else found


def _metric(column: Column, row: Row) -> str:
    if column.attribute:
        return ""
    is_other = row.get("denoise") and column.denoised_metric is not None
    return column.denoised_metric if is_other else column.metric


def _where(column: Column, row: Row) -> dict[str, Any]:
    """Return the columns of the measurement rows that a cell is made of."""
    chosen = {k: getattr(column, k) for k in ("space", "task", "batch_size")}
    where = row["extra"] | {k: value for k, value in chosen.items() if value is not None}
    if column.guidance is not None:
        where["guidance"] = row.get("guidance", 0.0) if column.guidance == "own" else column.guidance
    return where


def _check_comparable(rows: Sequence[tuple[Row, Mapping[str, Cell]]]) -> None:
    """Refuse distances that were measured on different numbers of images: those of few are larger."""
    seen: dict[tuple, tuple[float, str]] = {}
    for row, found in rows:
        for record in (r for cell in found.values() for r in cell.records if r["metric"] == "fd"):
            n = record["n"]
            first, other = seen.setdefault(
                (row["origin"], row["experiment"], record["space"]), (n, row["sampler"])
            )
            if n == n and first == first and n != first:
                raise UserError(
                    f"The distances of '{row['sampler']}' and '{other}' in '{row['experiment']}'"
                    f" are of {n:g} and {first:g} images; delete both measurements and run snakemake again."
                )


def _line(spec: TableSpec, row: Row, found: Mapping[str, Cell], cells: Cells) -> dict[str, Any]:
    facts = row | _facts(spec, row, found) | {"baseline": _baseline(spec, row, cells)}
    line = {}
    for column in spec.columns:
        if column.attribute:
            line[column.name] = facts.get(column.attribute)
        elif column.stat in COMPARED:
            line[column.name] = _against_baseline(spec, column, row, cells)
        else:
            line[column.name] = _statistic(column.stat, found[column.name])
    return line


def _facts(spec: TableSpec, row: Row, found: Mapping[str, Cell]) -> dict[str, Any]:
    """Return what a row says of itself beside its attributes and measurements."""
    own = [cell for cell in found.values() if cell.records and cell.records[0]["sampler"] == row["sampler"]]
    paper = spec.paper.get(row["sampler"])
    flags = [
        f"{c.name}: {found[c.name].flag}" for c in spec.columns if c.stat == "mean" and found[c.name].flag
    ]
    where = ("device", "precision", "commit")
    return {
        **{name: "; ".join(filter(None, dict.fromkeys(c.about(name) for c in own))) for name in where},
        **row["extra"],
        "paper_id": paper and paper.id,
        "paper_number": paper and _published_value(spec, paper.id),
        "paper_base_id": paper and paper.base,
        "paper_base_number": paper and _published_value(spec, paper.base),
        "seeds": max((" ".join(cell.seeds) for cell in own), key=len, default=""),
        "feature_spaces_in_loss": distinct(
            cell.records[0]["space"] for cell in own if cell.flag == "seen_by_loss"
        ),
        "notes": "; ".join(flags),
    }


def _published_value(spec: TableSpec, number: str | None) -> float | None:
    return number and getattr(paper_number(number), PAPER_COLUMNS[spec.paper_column])


def _statistic(stat: str, cell: Cell) -> Any:
    intervals = {"": cell.interval, "ci_": cell.over_samples, "seeds_ci_": cell.over_seeds}
    for end, name in itertools.product((0, 1), intervals):
        if stat == name + ("low", "high")[end]:
            return intervals[name] and intervals[name][end]
    if stat == "relative_to":
        return cell.about("relative_to")
    if stat == "blocks":
        return " ".join(f"{record['value']:.1f}" for record in cell.records)
    if stat == "n":
        return next((int(record["n"]) for record in cell.records if record["n"] == record["n"]), None)
    if stat == "processes":
        return len(cell.parts) or None
    if stat == "std" or cell.value is None:
        return cell.std
    counts = {"count": 1, "sum": max(len(cell.seeds), 1)}
    if stat in counts:
        return round(cell.value * counts[stat])
    # Of rows that hold a mean over several seeds the largest is not known, but for the mean.
    return max(cell.parts.values(), default=cell.value) if stat == "max" else cell.value


def _baseline(spec: TableSpec, row: Row, cells: Cells) -> str | None:
    """Return the name of the row that a row is compared with; None for the baseline itself."""
    name = spec.baseline
    if isinstance(name, dict):
        wanted = {k: row.get(k) for k in ("type", "flow", "reverse", "denoise", "step")} | name
        known = cells.rows.get((row["origin"], row["experiment"]), {})
        name = next((n for n, about in known.items() if wanted.items() <= about.items()), None)
    return None if name == row["sampler"] else name


def _against_baseline(spec: TableSpec, column: Column, row: Row, cells: Cells) -> Any:
    """Return a statistic of a row's difference from the baseline."""
    base = _baseline(spec, row, cells)
    if base is None:
        return None
    found = _difference(column, row, base, cells)
    if column.stat == "verdict":
        paper = spec.paper.get(row["sampler"])
        published = _paper_difference(spec, paper and paper.id, paper and paper.base)
        return verdict(found, published, _why_not(column, row, base, cells))
    attribute = {"effect": "mean", "effect_std": "std", "p": "p"}[column.stat]
    return found and getattr(found, attribute)


def _difference(column: Column, row: Row, other: str, cells: Cells) -> Comparison | None:
    key, where = (row["origin"], row["experiment"]), _where(column, row)
    return cells.difference(key, row["sampler"], other, _metric(column, row), **where)


def _paper_difference(spec: TableSpec, first: str | None, second: str | None) -> float | None:
    return _published_value(spec, first) - _published_value(spec, second) if first and second else None


def _why_not(column: Column, row: Row, other: str, cells: Cells) -> str:
    """Return why a column cannot judge two rows, or nothing."""
    pair = [_cell(column, row | {"sampler": name}, cells) for name in (row["sampler"], other)]
    names = [
        name for name, cell in zip((row["sampler"], other), pair, strict=True) if cell.flag == "seen_by_loss"
    ]
    if names:
        return f"no verdict: the loss of {' and '.join(names)} has seen these features"
    flags = {cell.flag for cell in pair}
    return next((f"no verdict: {text}" for flag, text in NOT_COMPARED.items() if flag in flags), "")


def verdict(found: Comparison | None, published: float | None = None, why_not: str = "") -> str:
    """Return in words what a comparison of two distances (less is better) comes to.

    "holds" and "does not hold": the difference is significant at the 5% level, two-sided, and has or has
    not the sign of the published one. Without a published difference "lower" or "higher". Else "not
    resolved", which more seeds may change. No correction is made for the number of comparisons.

    Args:
        why_not: why no verdict may be drawn; it is returned instead.
    """
    if found is None:
        return "not measured"
    if why_not:
        return why_not
    if found.p is None or found.p >= 1 - LEVEL:
        return "not resolved"
    if not published:
        return "lower" if found.mean < 0 else "higher"
    return "holds" if (found.mean < 0) == (published < 0) else "does not hold"


def verdicts(spec: TableSpec, measurements: pd.DataFrame, experiments: Experiments) -> pd.DataFrame:
    """Return one line per pair of rows and column of `spec.verdicts`: the difference and its verdict.

    Compared are every row with the baseline, and rows of one factor with each other.
    """
    cells, lines = with_derived(measurements, experiments), []
    columns = [column for column in spec.columns if column.name in spec.verdicts]
    rows = [row for row, _ in _measured_rows(spec, cells)]
    for first, second in itertools.combinations(rows, 2):
        if (first["origin"], first["experiment"]) != (second["origin"], second["experiment"]):
            continue
        if spec.baseline == first["sampler"]:
            first, second = second, first
        of_base, paper = spec.baseline == second["sampler"], spec.paper.get(first["sampler"])
        if not of_base and first["factor"] != second["factor"]:
            continue
        other = paper and paper.base if of_base else getattr(spec.paper.get(second["sampler"]), "id", None)
        published = _paper_difference(spec, paper and paper.id, other)
        for column in columns:
            found = _difference(column, first, second["sampler"], cells)
            lines.append(
                {k: first[k] for k in ("origin", "experiment")}
                | {
                    "first": first["sampler"],
                    "second": second["sampler"],
                    "paper_difference": published,
                    "measure": column.name,
                    "difference": found and found.mean,
                    "difference_std": found and found.std,
                    "p": found and found.p,
                    "seeds": found and found.n,
                    "verdict": verdict(found, published, _why_not(column, first, second["sampler"], cells)),
                }
            )
    return pd.DataFrame(lines)


def _marked(spec: TableSpec, rows: Sequence[tuple[Row, Mapping[str, Cell]]]) -> set[tuple[int, str]]:
    """Return the cells that must not be compared."""
    return {
        (i, column.name)
        for i, (_, found) in enumerate(rows)
        for column in spec.columns
        if column.direction
        and found[column.name].value is not None
        and found[column.name].flag in NOT_COMPARED
    }


def _bold(spec: TableSpec, rows: Sequence[tuple[Row, Mapping[str, Cell]]]) -> set[tuple[int, str]]:
    """Return the best cell of every column that has a direction, and all that are tied with it."""
    bold = set()
    groups: dict[tuple, list[int]] = {}
    for i, (row, _) in enumerate(rows):
        if row.get("type") not in DATA_ROWS:
            groups.setdefault(tuple(row.get(k) for k in ("origin", "experiment", *spec.within)), []).append(i)
    for column in (column for column in spec.columns if column.direction and column.of != "real"):
        for group in groups.values():
            found = {i: rows[i][1][column.name] for i in group}
            valid = {i: c for i, c in found.items() if c.value is not None and c.flag not in NOT_COMPARED}
            if len(valid) > 1:
                best = (min if column.direction == "lower" else max)(valid, key=lambda i: valid[i].value)
                bold |= {(i, column.name) for i in valid if _tied(valid, rows, i, best)}
    return bold


def _tied(cells: Mapping[int, Cell], rows: Sequence[tuple[Row, Any]], i: int, best: int) -> bool:
    """Return whether a value lies in the best one's interval, or is of the same images but for rounding."""
    value, top = cells[i].value, cells[best].value
    ends = cells[best].interval
    if value == top or (ends and ends[0] <= value <= ends[1]):
        return True
    one, other = rows[i][0], rows[best][0]
    same = all(one.get(key) == other.get(key) for key in ("flow", "denoise", "guidance", "step"))
    alike = (
        same and one.get("exact") and other.get("exact") and cells[i].records[0]["metric"] != "ms_per_image"
    )
    return bool(alike) and abs(value - top) <= SAME_IMAGES * abs(top)


def _published(spec: TableSpec) -> list[dict[str, Any]]:
    """Return the rows of papers that have a number; they are compared with nothing."""
    if not spec.published:
        return []
    found = []
    for number in read_paper_numbers().values():
        value = getattr(number, PAPER_COLUMNS[spec.published])
        facts = {name: getattr(number, name) for name in ("device", "grade", "decoder_included")}
        facts |= {"origin": "published", "paper_id": number.id, "notes": number.note}
        facts |= {"experiment": f"{number.dataset} {number.resolution}"}
        facts |= {"sampler": f"{number.model}, {number.sampler}"}
        columns = [c for c in spec.columns if c.metric == spec.published and c.stat == "mean"]
        if value is not None:
            cells = {c.name: c.inverse / value if c.inverse else value for c in columns}
            found.append({c.name: facts.get(c.attribute) for c in spec.columns if c.attribute} | cells)
    return found
