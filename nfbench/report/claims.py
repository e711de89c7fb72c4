"""What the papers claim, and the rule by which a measurement decides it.

The rule: a claim says that a quantity lies on one side of a bound. It is "reproduced" where the quantity's
whole interval lies on that side, "contradicted" where the whole interval lies on the other, else "not
resolved". See `nfbench.report.claims_table.RULE` for the exceptions.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nfbench.config import build, read_checked
from nfbench.errors import UserError
from nfbench.report.evidence import Evidence, Selector
from nfbench.report.paper_numbers import COLUMNS, PaperNumber, paper_number

DECIDED = ("reproduced", "contradicted")
SIGNS = {"at_least": 1, "at_most": -1}


@dataclass(frozen=True)
class Paper:
    """Published numbers by id: one, or the difference or ratio of two, in one column."""

    column: str
    number: str | None = None
    difference: list[str] = field(default_factory=list)
    ratio: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """The rows it is made of."""
        return [self.number] if self.number else [*self.difference, *self.ratio]


@dataclass(frozen=True)
class Claim:
    """One claim; see workflow/schemas/claims.schema.yaml for each key."""

    claim: str
    paper: Paper
    rule: str
    measured: list[dict] = field(default_factory=list)
    share: float | None = None
    bound: float | None = None
    needs: str = ""

    @property
    def selectors(self) -> list[Selector]:
        """Where its quantity is looked for."""
        return [build(Selector, values) for values in self.measured]


def read_claims(path: str | Path, schema: dict[str, Any]) -> dict[str, Claim]:
    """Read and check the claims by name.

    Raises:
        UserError: the file is missing or no YAML, or a claim is against the schema, refers to a published
            number that is not there, or cannot be judged.
    """
    values = read_checked(path, schema, "claims: ")
    claims = {name: build(Claim, claim) for name, claim in values["claims"].items()}
    for name, claim in claims.items():
        try:
            _check(claim)
        except ValueError as error:
            raise UserError(f"{path}: claim '{name}' {error}.") from None
        except UserError as error:
            raise UserError(f"{path}: claim '{name}': {error}") from None
    return claims


def _check(claim: Claim) -> None:
    """Refuse what cannot be judged."""
    if sum(map(bool, (claim.paper.number, claim.paper.difference, claim.paper.ratio))) != 1:
        raise ValueError("must name its paper's numbers by one of 'number', 'difference' and 'ratio'")
    published(claim)
    if claim.rule == "order":
        if claim.share is not None or claim.bound is not None:
            raise ValueError("has the rule 'order', which takes neither 'share' nor 'bound'; drop it")
        if published(claim) == _neutral(claim.paper):
            raise ValueError("has the rule 'order', but the paper's numbers are equal")
    elif (claim.share is None) == (claim.bound is None):
        raise ValueError(f"has the rule '{claim.rule}', which takes either 'share' or 'bound'")
    if not claim.measured and not claim.needs:
        raise ValueError("says neither where it is 'measured' nor what that 'needs'")
    for selector in claim.selectors:
        kinds = (selector.paired, selector.ratio, selector.value)
        if sum(map(bool, kinds)) != 1:
            raise ValueError(f"must select from {selector.table} by one of 'paired', 'ratio' and 'value'")
        if claim.rule == "order" and selector.neutral is None:
            raise ValueError("has the rule 'order', which no single 'value' has; take 'ratio' or 'paired'")
        if selector.column is None and not selector.paired and selector.table != "ratios.md":
            raise ValueError(f"names no 'column' of {selector.table}")


def _neutral(paper: Paper) -> float:
    """Return the value at which neither of the paper's two is ahead."""
    if paper.difference:
        return 0.0
    if paper.ratio or paper.column == "speedup":
        return 1.0
    raise ValueError(
        f"has the rule 'order', which no single '{paper.column}' has; take 'difference' or 'ratio'"
    )


def published(claim: Claim) -> float:
    """Return the paper's number, or the difference or the ratio of its two.

    Raises:
        UserError: there is no number of that id.
        ValueError: the number has no value in that column.
    """
    values = [published_cell(paper_number(name), claim.paper.column) for name in claim.paper.ids]
    if claim.paper.number:
        return values[0]
    return values[0] - values[1] if claim.paper.difference else values[0] / values[1]


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


def bound(claim: Claim, neutral: float | None) -> tuple[int, float]:
    """Return the claimed side, 1 above and -1 below, and the bound it starts at.

    Args:
        neutral: of the measured quantity: its value where neither of two is ahead.
    """
    if claim.rule == "order":
        return (1 if published(claim) > _neutral(claim.paper) else -1), neutral
    limit = claim.bound if claim.share is None else claim.share * published(claim)
    return SIGNS[claim.rule], limit


def judge(claim: Claim, neutral: float | None, found: Evidence) -> str:
    """Return the verdict that one measurement allows; see the top of this file."""
    if found.value is None:
        return f"not measured ({found.missing})"
    if doubtful := [name for name in claim.paper.ids if paper_number(name).grade == "CHECK"]:
        return f"not resolved (CHECK the paper's number {doubtful[0]})"
    if found.objection:
        return f"not resolved ({found.objection})"
    if found.low is None:
        return "not resolved (no interval)"
    side, limit = bound(claim, neutral)
    low, high = sorted(side * (end - limit) for end in (found.low, found.high))
    if low > 0 or (low == 0 and claim.rule != "order"):  # "at least" and "at most" take the bound itself in
        return "reproduced"
    return "contradicted" if high < 0 else "not resolved"


def overall(verdicts: Sequence[str]) -> str:
    """Return a claim's one verdict from those of its measurements."""
    counts = Counter(verdict for verdict in verdicts if verdict in DECIDED)
    if len(counts) == 1:
        return next(iter(counts))
    if counts:
        told = ", ".join(f"{counts[name]} {name}" for name in DECIDED)
        return f"not resolved (measurements disagree: {told})"
    return next((verdict for verdict in verdicts if verdict.startswith("not resolved")), verdicts[0])
