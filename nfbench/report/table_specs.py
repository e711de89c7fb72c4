"""What a table is: the keys of config/tables.yaml."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from nfbench.config import validated
from nfbench.errors import UserError
from nfbench.measurements import METRICS
from nfbench.report.cells import attributes
from nfbench.report.paper_numbers import paper_number

COMPARED = ("effect", "effect_std", "p", "verdict")  # statistics of the comparison with the baseline
Stat = Literal[
    *("mean", "std", "sum", "max", "count", "n", "low", "high", "ci_low", "ci_high", "seeds_ci_low"),
    *("seeds_ci_high", "relative_to", "blocks", "processes", *COMPARED),
]


class Strict(BaseModel):
    """A section of the file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(Strict):
    """A column, or several: one for every value in `each` and every statistic in `with`."""

    name: str = Field(description="Name in the CSV; {space} etc. stand for the values of `each`.")
    attribute: str | None = Field(None, description="A fact of the row in place of a measurement.")
    metric: str = Field("", description="Metric; default: the name.")
    denoised_metric: str | None = Field(None, description="Metric where the row is denoised; '' for none.")
    of: str = Field("sampler", description="sampler, flow, reverse, or the name of another row.")
    space: str | None = None
    task: str | None = None
    batch_size: int | None = None
    guidance: float | Literal["own"] | None = Field(None, description="Scale of a timing; own: the row's.")
    each: dict[str, list | dict] = Field({}, description="Values of selectors, with labels for headings.")
    stat: Stat = "mean"
    more: list[Stat] = Field([], alias="with", description="Further statistics, in columns of their own.")
    inverse: float | None = Field(None, description="Print this number over the value.")
    better: Literal["lower", "higher", "none"] | None = Field(None, description="Default: the metric's.")
    heading: str | None = Field(None, description="Heading in Markdown and LaTeX; without one CSV only.")
    format: str | None = Field(None, description="Python format of the number; default: four digits.")

    @property
    def direction(self) -> Literal["lower", "higher"] | None:
        """Which values are better; None where none is."""
        if self.better or self.attribute or self.stat != "mean":
            return None if self.better == "none" else self.better
        better = METRICS[self.metric].better if self.metric in METRICS else None
        return {"lower": "higher", "higher": "lower"}.get(better) if self.inverse else better

    def expanded(self) -> Iterator["Column"]:
        """Yield the columns that it stands for."""
        choices = [
            values if isinstance(values, dict) else {v: v for v in values} for values in self.each.values()
        ]
        for chosen in itertools.product(*choices):
            values = dict(zip(self.each, chosen, strict=True))
            labels = {key: choice[values[key]] for key, choice in zip(self.each, choices, strict=True)}
            plain = {"each": {}, "more": [], "metric": self.metric or self.name}
            heading = self.heading and self.heading.format(**labels)
            one = self.model_copy(
                update=values | plain | {"name": self.name.format(**values), "heading": heading}
            )
            yield one
            for stat in self.more:
                name = f"{stat}_{one.name}" if stat in COMPARED else f"{one.name}_{stat}"
                yield one.model_copy(update={"name": name, "stat": stat, "heading": None})


class Paper(Strict):
    """Ids of a row's published number, and of the number that its paper compares it with."""

    id: str
    base: str | None = None


class TableSpec(Strict):
    """A table."""

    name: str
    title: str
    caption: str = ""
    references: bool = Field(True, description="Whether rows of committed references stand in it, too.")
    rows: dict[str, Any] = Field(
        {}, description="Attributes of its rows: a value, a list, true for any, null for none."
    )
    keys: list[str] = Field(["experiment", "sampler"], description="What one row is of, in sorting order.")
    anchor: str | None = Field(None, description="Metric that a row must have; needed for other keys.")
    baseline: str | dict[str, Any] | None = Field(
        None, description="Name of the row compared with, or what differs in the row of the same model."
    )
    baseline_first: bool = Field(False, description="Put the baseline above the other rows.")
    within: list[str] = Field([], description="Keys besides origin and experiment within which to compare.")
    paper: dict[str, Paper] = {}
    paper_column: str = "fid"
    published: str | None = Field(None, description="Append papers' rows that have a number here.")
    verdicts: list[str] = Field([], description="Columns by which all rows are compared in pairs.")
    columns: list[Column]

    @property
    def extra(self) -> list[str]:
        """The keys that a row has beside its sampler."""
        return [key for key in self.keys if key not in ("origin", "experiment", "sampler")]


def read_specs(path: str | Path) -> dict[str, TableSpec]:
    """Read tables by name.

    Raises:
        UserError: the file is missing or no YAML, or has an unknown key or published number.
    """
    try:
        found = yaml.safe_load(Path(path).read_text())["tables"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read as a list of tables ({error}); restore it.") from None
    return {name: _spec(name, values, f"{path}, table '{name}'") for name, values in found.items()}


def _spec(name: str, values: Mapping[str, Any], source: str) -> TableSpec:
    spec = validated(TableSpec, {"name": name} | values, source)
    for paper in spec.paper.values():
        for number in filter(None, (paper.id, paper.base)):
            paper_number(number)
    columns = [one for column in spec.columns for one in column.expanded()]
    return spec.model_copy(update={"columns": columns})


def matches(value: Any, wanted: Any) -> bool:
    """Whether an attribute is as a spec wants it: equal, one of a list, any (true) or none (null)."""
    if wanted is True or wanted is None:
        return (value not in (None, "", False)) is (wanted is True)
    return value in wanted if isinstance(wanted, list) else value == wanted


def applies(spec: TableSpec, experiment: Mapping[str, Any]) -> bool:
    """Whether an experiment may have rows for a table, by its samplers alone.

    Args:
        experiment: resolved, as in results/{experiment}/experiment.yaml.
    """
    rows = attributes(experiment).values()
    if spec.anchor == "ms_per_image":
        return any(row["speed"] for row in rows)
    if spec.anchor == "kept_mse":
        return experiment["editing"] is not None
    chosen = [row for row in rows if all(matches(row.get(key), want) for key, want in spec.rows.items())]
    return any(row["quality"] or row["speed"] for row in chosen)
