"""Variants of a sampler that differ from it in one factor: what tables 2 and 3 compare."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nfbench.config import build, read_checked
from nfbench.sample.contestant import DENOISED


@dataclass(frozen=True)
class Objective:
    """A row of table 2; `paper` is the id of its published number."""

    title: str
    paper: str | None = None


@dataclass(frozen=True)
class Published:
    """Ids of the published numbers of a variant and of what its paper compares it with."""

    variant: str | None
    base: str | None


@dataclass(frozen=True)
class Variant:
    """A row of table 3; see workflow/schemas/ablations.schema.yaml for each key."""

    factor: str
    change: str
    reverse: dict = field(default_factory=dict)
    forward: dict = field(default_factory=dict)
    guidance: float | None = None
    options: dict = field(default_factory=dict)
    paper: Published | None = None

    @property
    def trained(self) -> bool:
        """Whether it has a model of its own, rather than the base's."""
        return bool(self.reverse or self.forward)


@dataclass(frozen=True)
class Ablations:
    """What tables 2 and 3 compare."""

    base: str
    objectives: dict[str, Objective]
    variants: dict[str, Variant]

    def contestant(self, variant: str) -> str:
        """Return the name of a variant's row and folder."""
        return f"{self.base}@{variant}"

    def describe(self, contestant: str) -> dict[str, Any]:
        """Return what a row of table 2 or 3 says of itself, and the ids of the published numbers.

        The keys: contestant, described (cells), paper (its published number's id or None), paper_base (the
        id of the number that the paper compares it with).
        """
        if contestant in self.objectives and contestant != self.base:
            row, base = self.objectives[contestant], self.objectives[self.base]
            return _described(contestant, {"title": row.title}, row.paper, row.paper and base.paper)
        if contestant == self.base:
            row = self.objectives[contestant]
            cells = {"title": row.title, "factor": "none", "change": "the base"}
            return _described(contestant, cells, row.paper, None)
        row = self.variants[contestant.removeprefix(f"{self.base}@")]
        paper = row.paper or Published(None, None)
        cells = {"factor": row.factor, "change": row.change}
        return _described(contestant, cells, paper.variant, paper.base)

    def model(self, variant: str) -> str:
        """Return the variant whose model one draws from: its own name, or that without denoising."""
        return variant.removesuffix(DENOISED)


def read_ablations(path: str | Path, schema: dict[str, Any]) -> Ablations:
    """Read and check config/ablations.yaml.

    Raises:
        UserError: the file is missing, no YAML, or against the schema.
    """
    return build(Ablations, read_checked(path, schema, "base: biflow"))


def _described(
    contestant: str, cells: dict[str, str], paper: str | None, paper_base: str | None
) -> dict[str, Any]:
    return {"contestant": contestant, "described": cells, "paper": paper, "paper_base": paper_base}
