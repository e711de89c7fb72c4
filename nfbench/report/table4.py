"""Table 4: speed by device and batch size, ours beside that of references and the published one.

Every row is of one device, since each table of speed is. What was published is printed as it was: other
networks, images and devices, which no ratio here mixes with ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from nfbench.errors import UserError
from nfbench.report.paper_numbers import PaperNumber
from nfbench.report.speed_table import COLUMNS as SPEED_COLUMNS
from nfbench.report.speed_table import KEY, read_speed
from nfbench.report.speedups import label
from nfbench.rounds import Interval, repeatability

MEASURED, PUBLISHED = "measured", "published"
COLUMNS = ("source", "paper_id", *SPEED_COLUMNS, "marks")
BLOCK = ("source", "experiment", "device")  # what one table in Markdown is of


def table4(
    tables: Sequence[str | Path],
    references: Sequence[str | Path],
    published: Mapping[str, PaperNumber],
    commit: str | None,
) -> pd.DataFrame:
    """Join tables of speed and the published times.

    Args:
        tables: of this machine.
        references: of others, or of this one earlier; the column `source` names their folder.
        published: `nfbench.report.paper_numbers.read_paper_numbers()`; rows with a time are taken.
        commit: the present one; rows of another are marked.

    Raises:
        UserError: a table is refused, see `nfbench.report.speed_table.read_speed`, or two references of the
            same name hold the same rows.
    """
    sources = [(MEASURED, path) for path in tables] + [(Path(path).parent.name, path) for path in references]
    joined = [read_speed(path).assign(source=source) for source, path in sources]
    rows = pd.concat(joined, ignore_index=True).reindex(columns=list(COLUMNS)).astype(object)
    rows["marks"] = [_marks(row, commit) for row in rows.to_dict("records")]
    twice = rows.duplicated([*BLOCK, *KEY])
    if twice.any():
        raise UserError(
            f"the references of '{rows.loc[twice, 'source'].iloc[0]}' hold the same rows twice; list each"
            " file once under 'speed.references'."
        )
    papers = pd.DataFrame(published_rows(published.values()), columns=list(COLUMNS), dtype=object)
    return pd.concat([rows, papers], ignore_index=True).astype(object)


def _marks(row: Mapping[str, object], commit: str | None) -> str | None:
    """Say what sets a row apart from what this commit would measure."""
    made = None if pd.isna(row["commit"]) else row["commit"]
    if made is None:
        return "of an unknown commit"
    if made != commit:
        return f"of another commit, {made}"
    return "of a tree with changes that no commit has" if made.endswith("+dirty") else None


def published_rows(numbers: Iterable[PaperNumber]) -> list[dict[str, object]]:
    """Return the published times, one row each, by id."""
    return [
        {
            "source": PUBLISHED,
            "paper_id": number.id,
            "experiment": f"{number.dataset} {number.resolution}",
            "device": number.device,
            "sampler": f"{number.model}, {number.sampler}",
            "ms_per_image": number.ms_per_image,
            "images_per_second": 1e3 / number.ms_per_image,
            "decoder_included": number.decoder_included,
            "notes": number.note,
            "marks": {"S": "second-hand", "CHECK": "doubtful"}.get(number.grade),
        }
        for number in numbers
        if number.ms_per_image is not None
    ]


def in_markdown(rows: pd.DataFrame) -> str:
    """Return table 4 as Markdown: a table for every device and experiment, a column for every batch size.

    The fastest sampler of a batch size, scale of guidance and kind of output is bold, with all whose time
    lies within its interval.
    """
    ours, papers = rows[rows["source"] != PUBLISHED], rows[rows["source"] == PUBLISHED]
    blocks = [
        _block(dict(zip(BLOCK, key, strict=True)), of) for key, of in ours.groupby(list(BLOCK), sort=False)
    ]
    return "\n\n".join([*blocks, _papers(papers)]) + "\n"


def _block(key: Mapping[str, str], rows: pd.DataFrame) -> str:
    sizes = sorted(rows["batch_size"].unique())
    heading = f"{key['experiment']} on {key['device']} ({key['source']}), ms an image and speed-up"
    lines = [["sampler", "output", "guidance", *(f"batch {size}" for size in sizes)]]
    lines.append(["---", "---", "---:", *["---:"] * len(sizes)])
    bold = set().union(*(fastest(of) for _, of in rows.groupby(["batch_size", "guidance", "output"])))
    kinds = rows.assign(variant=rows["variant"].where(rows["variant"].notna(), ""))
    for (scale, _, _), of in kinds.groupby(["guidance", "sampler", "variant"], sort=False):
        by_size = {row["batch_size"]: (index, row) for index, row in of.iterrows()}
        cells = [
            _cell(by_size[size][1], by_size[size][0] in bold) if size in by_size else "" for size in sizes
        ]
        first = of.iloc[0]
        lines.append([label(first), first["output"], f"{scale:g}", *cells])
    return f"### {heading}\n\n{_lines(lines)}\n\n" + "\n".join(f"- {line}" for line in _below(rows))


def fastest(rows: pd.DataFrame) -> set[int]:
    """Return the index of the row with the smallest time, and of all whose time lies within its interval."""
    times = pd.to_numeric(rows["ms_per_image"]).dropna()
    if times.empty:
        return set()
    best = times.idxmin()
    high = rows.loc[best, "ms_per_image_high"]
    most = times[best] if pd.isna(high) else high
    return set(times.index[times <= most])


def _cell(row: pd.Series, bold: bool) -> str:
    if pd.isna(row["ms_per_image"]):
        return "–"
    text = _number(row["ms_per_image"])
    if not pd.isna(row["ms_per_image_low"]):
        text += f" ({_number(row['ms_per_image_low'])} to {_number(row['ms_per_image_high'])})"
    text = f"**{text}**" if bold else text
    return text if pd.isna(row["speedup"]) else f"{text}, {_number(row['speedup'])}×"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _below(rows: pd.DataFrame) -> list[str]:
    """Return what a reader must know: the machine, what is missing, what is marked, and the repeatability."""
    first = rows.iloc[0]
    state = {"precision": "{}", "threads": "threads: {}", "openmp": "OpenMP: {}", "torch": "torch {}"}
    state |= {"driver": "driver {}", "commit": "commit {}"}
    found = [", ".join(text.format(first[key]) for key, text in state.items() if not pd.isna(first[key]))]
    found += list(rows["marks"].dropna().unique())
    named = rows.assign(label=[label(row) for _, row in rows.iterrows()])
    for column, word in (("missing", "missing"), ("notes", "note")):
        groups = named.dropna(subset=[column]).groupby(column, sort=False)
        found += [f"{word}: {_which(of, named)}: {reason}" for reason, of in groups]
    repeated = rows.dropna(subset=["repeat_ratio"])
    judged = repeatability(
        Interval(row["repeat_ratio"], _bound(row["repeat_low"]), _bound(row["repeat_high"]), 0)
        for _, row in repeated.iterrows()
    )
    name = label(repeated.iloc[0]) if len(repeated) else "no sampler"
    return [*found, f"{name} against itself: {judged.in_words() if judged else 'not measured'}"]


def _which(rows: pd.DataFrame, among: pd.DataFrame) -> str:
    """Name the rows that something is said of, in few words."""
    if len(rows) == among["ms_per_image"].notna().sum() and rows["ms_per_image"].notna().all():
        return "all that was measured"
    batches = ", ".join(f"{size}" for size in dict.fromkeys(rows["batch_size"]))
    scales = " and ".join(f"{scale:g}" for scale in dict.fromkeys(rows["guidance"]))
    return f"{'; '.join(dict.fromkeys(rows['label']))}, batch {batches}, guidance {scales}"


def _bound(value: float | None) -> float | None:
    return None if pd.isna(value) else float(value)


def _papers(rows: pd.DataFrame) -> str:
    lines = [["id", "model and sampler", "images", "device", "decoder", "ms an image", ""], ["---"] * 7]
    columns = ("paper_id", "sampler", "experiment", "device", "decoder_included", "ms_per_image", "marks")
    for _, row in rows.iterrows():
        cells = [row[column] for column in columns]
        lines.append(
            ["" if pd.isna(cell) else f"{cell:g}" if isinstance(cell, float) else cell for cell in cells]
        )
    return f"### Published, on other machines and networks\n\n{_lines(lines)}"


def _lines(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
