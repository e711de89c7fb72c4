"""What papers print: quality, speed and size of models, and how sure each row is.

The rows are in paper_numbers.csv, beside this file. They stand beside measurements and never mix with them.
"""

import csv
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from nfbench.config import validated
from nfbench.errors import UserError, closest

EMBEDDED = Path(__file__).with_name("paper_numbers.csv")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


class PaperNumber(BaseModel):
    """A row; None is what the paper does not say, or what could not be read."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    id: Text  # name of the row, unique
    paper: Text
    arxiv: Text
    model: Text
    sampler: Text  # how images are drawn, or what is varied, in the paper's words
    dataset: Text
    resolution: Annotated[int, Field(gt=0)]  # side of an image, pixels
    params_millions: Positive | None = Field(None, alias="params_M")  # of the network that samples
    nfe: str | None = None  # as printed, e.g. "1", "250x2" or "256x2 serial", so no number
    fid: Positive | None = None  # in the paper's own pipeline
    inception_score: Positive | None = Field(None, alias="is")
    ms_per_image: Positive | None = None
    device: str | None = None
    decoder_included: Literal["yes", "no", "na"] | None = None  # in the time; "na" where there is none
    grade: Literal["P", "S", "CHECK"]  # read in the paper itself, second-hand, or doubtful
    relative_time: Positive | None = None  # comparable within a paper and data set
    speedup: Positive | None = None  # over a slower row of the same paper
    note: str | None = None


COLUMNS = {field.alias or name: name for name, field in PaperNumber.model_fields.items()}


@cache
def read_paper_numbers(path: str | Path = EMBEDDED) -> dict[str, PaperNumber]:
    """Read the rows by id.

    Raises:
        UserError: the file is missing or no text, its columns are others, an id comes twice, or a cell
            cannot be read.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [(reader.line_num, cells) for cells in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}); mend it or install the package again.") from None
    if reader.fieldnames != list(COLUMNS):
        raise UserError(f"{path}: the columns must be {', '.join(COLUMNS)}; mend it.")
    numbers: dict[str, PaperNumber] = {}
    for line, cells in rows:
        if None in cells or None in cells.values():
            raise UserError(f"{path}, line {line}: it must have {len(COLUMNS)} cells; mend it.")
        known = {name: text for name, text in cells.items() if text}
        number = validated(PaperNumber, known, f"{path}, line {line}")
        if number.id in numbers:
            raise UserError(f"{path}, line {line}: the id '{number.id}' comes twice; rename one.")
        numbers[number.id] = number
    return numbers


def paper_number(name: str) -> PaperNumber:
    """Look a row up by its id.

    Raises:
        UserError: there is none; the nearest id is named.
    """
    numbers = read_paper_numbers()
    if name not in numbers:
        raise UserError(f"There is no published number '{name}'; {closest(name, list(numbers))}")
    return numbers[name]
