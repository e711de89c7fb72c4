"""Reading config/claims.yaml: published claims, their numbers, and the rows that they are measured by."""

from pathlib import Path
from typing import Any, Literal

import yaml

from nfbench.config import validated
from nfbench.errors import UserError
from nfbench.measurements import metric
from nfbench.report.paper_numbers import COLUMNS, PaperNumber, paper_number
from nfbench.report.table_specs import Strict

SIGNS = {"at_least": 1, "at_most": -1}


class Paper(Strict):
    """Published numbers by id: one, or the difference or ratio of two, in one column."""

    column: str
    number: str | None = None
    difference: list[str] = []
    ratio: list[str] = []

    @property
    def ids(self) -> list[str]:
        """The rows it is made of."""
        return [self.number] if self.number else [*self.difference, *self.ratio]

    def published(self) -> float:
        """Return the number, or the difference or the ratio of two."""
        values = [published_cell(paper_number(name), self.column) for name in self.ids]
        if self.number:
            return values[0]
        return values[0] - values[1] if self.difference else values[0] / values[1]

    def neutral(self) -> float:
        """Return the value at which neither of the paper's two is ahead."""
        if self.difference:
            return 0.0
        if self.ratio or self.column == "speedup":
            return 1.0
        raise ValueError(
            f"has the rule 'order', which no single '{self.column}' has; take 'difference' or 'ratio'"
        )


class Quantity(Strict):
    """What is compared: a metric, and where it is looked up."""

    metric: str
    space: str = ""
    batch_size: int | None = None
    guidance: float | None = None
    precision: str | None = None  # of a time, None for fp32

    @property
    def where(self) -> dict[str, Any]:
        """The columns of its measurement rows."""
        where = {"space": self.space, "batch_size": self.batch_size, "guidance": self.guidance}
        return where | ({"precision": self.precision} if self.precision else {})

    def in_words(self) -> str:
        """Return it as text, e.g. "ms_per_image, batch_size 1, guidance 0"."""
        name = f"{self.metric}_{self.space}" if self.space else self.metric
        further = {"batch_size": self.batch_size, "guidance": self.guidance}
        words = [f"{key} {value:g}" for key, value in further.items() if value is not None]
        return ", ".join([name, *words, *([self.precision] if self.precision else [])])


class Selector(Strict):
    """Where a claim's quantity is measured: two rows' difference or ratio, or one row's value."""

    difference: list[str] = []
    ratio: list[str] = []
    value: str | None = None
    of: list[Quantity]
    experiments: list[str] = []
    exact: bool = False  # a count, which has no spread

    @property
    def rows(self) -> list[str]:
        """The rows that it compares."""
        return [*self.difference, *self.ratio] or [self.value or ""]

    @property
    def neutral(self) -> float | None:
        """The value at which neither of two rows is ahead; None for a quantity by itself."""
        return 0.0 if self.difference else 1.0 if self.ratio else None

    def in_words(self) -> str:
        """Return the rows as text."""
        return (" minus " if self.difference else " over ").join(self.rows)


class Claim(Strict):
    """One claim."""

    claim: str
    paper: Paper
    rule: Literal["order", "at_least", "at_most"]
    measured: list[Selector] = []
    share: float | None = None
    bound: float | None = None
    needs: str = ""

    def limit(self, neutral: float | None) -> tuple[int, float]:
        """Return the claimed side, 1 above and -1 below, and the bound where it starts.

        Args:
            neutral: of the measured quantity.
        """
        if self.rule == "order":
            return (1 if self.paper.published() > self.paper.neutral() else -1), neutral
        return SIGNS[self.rule], self.bound if self.share is None else self.share * self.paper.published()


def published_cell(row: PaperNumber, column: str) -> float:
    """Return a number of the paper's.

    Raises:
        ValueError: the row has none in that column.
    """
    value = getattr(row, COLUMNS[column]) if column in COLUMNS else None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"wants '{column}' of '{row.id}', which is {value or 'empty'}, no number") from None


def read_claims(path: str | Path) -> dict[str, Claim]:
    """Read and check the claims by name.

    Raises:
        UserError: the file is missing or no YAML, or a claim has an unknown key, refers to a published number
            that is not there, or cannot be evaluated.
    """
    try:
        found = yaml.safe_load(Path(path).read_text())["claims"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read as a list of claims ({error}); restore it.") from None
    claims = {name: validated(Claim, values, f"{path}, claim '{name}'") for name, values in found.items()}
    for name, claim in claims.items():
        try:
            _check(claim)
        except ValueError as error:
            raise UserError(f"{path}: claim '{name}' {error}.") from None
        except UserError as error:
            raise UserError(f"{path}: claim '{name}': {error}") from None
    return claims


def _check(claim: Claim) -> None:
    """Refuse what cannot be evaluated."""
    paper = claim.paper
    if sum(map(bool, (paper.number, paper.difference, paper.ratio))) != 1:
        raise ValueError("must name its paper's numbers by one of 'number', 'difference' and 'ratio'")
    number = paper.published()
    if claim.rule == "order":
        if claim.share is not None or claim.bound is not None:
            raise ValueError("has the rule 'order', which takes neither 'share' nor 'bound'; drop it")
        if number == paper.neutral():
            raise ValueError("has the rule 'order', but the paper's numbers are equal")
    elif (claim.share is None) == (claim.bound is None):
        raise ValueError(f"has the rule '{claim.rule}', which takes either 'share' or 'bound'")
    if not claim.measured and not claim.needs:
        raise ValueError("says neither where it is 'measured' nor what that 'needs'")
    for selector in claim.measured:
        if sum(map(bool, (selector.difference, selector.ratio, selector.value))) != 1:
            raise ValueError("must select rows by one of 'difference', 'ratio' and 'value'")
        if len(selector.rows) != (1 if selector.value else 2):
            raise ValueError("must compare two rows")
        if claim.rule == "order" and selector.neutral is None:
            raise ValueError(
                "has the rule 'order', which no single 'value' has; take 'ratio' or 'difference'"
            )
        for quantity in selector.of:
            metric(quantity.metric)
