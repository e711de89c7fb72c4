"""What papers print: quality, speed and size of models, and how sure each row is.

The rows are in paper_numbers.csv, beside this file. They stand beside what is measured and are never mixed
with it.
"""

import csv
import dataclasses
import difflib
import math
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nfbench.errors import UserError

EMBEDDED = Path(__file__).with_name("paper_numbers.csv")

Grade = Literal["P", "S", "CHECK"]
Decoder = Literal["yes", "no", "na"]


@dataclass(frozen=True)
class PaperNumber:
    """A row; None is what the paper does not say, or what could not be read.

    Attributes:
        id: name of the row, unique.
        arxiv: the paper's number there.
        sampler: how images are drawn, or what is varied, in the paper's words.
        resolution: side of an image, pixels.
        params_millions: of the network that samples; column params_M.
        nfe: network evaluations as printed, e.g. "1", "250x2" or "256x2 serial", so no number.
        fid, inception_score: in the paper's own pipeline; column is.
        decoder_included: whether the time has the decoder's in it; "na" where there is none.
        grade: P: read in the paper itself (primary); S: second-hand; CHECK: doubtful, to be looked up
            before it is quoted.
        relative_time: in a unit that `note` tells, if any; comparable within a paper and data set.
        speedup: over a slower row of the same paper; `note` tells more.
    """

    id: str
    paper: str
    arxiv: str
    model: str
    sampler: str
    dataset: str
    resolution: int
    params_millions: float | None
    nfe: str | None
    fid: float | None
    inception_score: float | None
    ms_per_image: float | None
    device: str | None
    decoder_included: Decoder | None
    grade: Grade
    relative_time: float | None
    speedup: float | None
    note: str | None


# `is` can name no attribute, and a unit is better spelt out.
RENAMED = {"params_millions": "params_M", "inception_score": "is"}
COLUMNS = {RENAMED.get(f.name, f.name): f.name for f in dataclasses.fields(PaperNumber)}
REQUIRED = {"id", "paper", "arxiv", "model", "sampler", "dataset", "resolution", "grade"}
CHOICES = {"grade": typing.get_args(Grade), "decoder_included": typing.get_args(Decoder)}
NUMBERS = {"params_M", "fid", "is", "ms_per_image", "relative_time", "speedup"}


def read_paper_numbers(path: str | Path = EMBEDDED) -> dict[str, PaperNumber]:
    """Read the rows by id.

    Raises:
        UserError: the file is missing or no text, its columns are others, an id comes twice, or a cell
            cannot be read.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            if reader.fieldnames != list(COLUMNS):
                raise ValueError(f"the columns must be {', '.join(COLUMNS)}")
            rows = [_row(cells, reader.line_num) for cells in reader]
        numbers = {row.id: row for row in rows}
        if len(numbers) < len(rows):
            ids = [row.id for row in rows]
            raise ValueError(f"the id '{max(ids, key=ids.count)}' comes twice")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; install the package again.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}; mend it or install the package again.") from None
    return numbers


def _row(cells: dict[str, Any], line: int) -> PaperNumber:
    if None in cells or None in cells.values():
        raise ValueError(f"line {line} has not {len(COLUMNS)} cells")
    try:
        return PaperNumber(**{name: _value(column, cells[column]) for column, name in COLUMNS.items()})
    except ValueError as error:
        raise ValueError(f"line {line}, {error}") from None


def _value(column: str, text: str) -> str | int | float | None:
    if not text:
        if column in REQUIRED:
            raise ValueError(f"'{column}' is empty")
        return None
    if column in CHOICES and text not in CHOICES[column]:
        raise ValueError(f"'{column}' is '{text}', not one of {', '.join(CHOICES[column])}")
    if column not in NUMBERS | {"resolution"}:
        return text
    try:
        value = int(text) if column == "resolution" else float(text)
    except ValueError:
        raise ValueError(f"'{column}' is '{text}', no number") from None
    if not 0 < value < math.inf:
        raise ValueError(f"'{column}' is {text}, not a positive number")
    return value


def paper_number(name: str) -> PaperNumber:
    """Look a row up by its id.

    Raises:
        UserError: there is none; the nearest id is named.
    """
    numbers = read_paper_numbers()
    if name not in numbers:
        (nearest,) = difflib.get_close_matches(name, numbers, n=1, cutoff=0)
        raise UserError(f"There is no published number '{name}'; did you mean '{nearest}'?")
    return numbers[name]
