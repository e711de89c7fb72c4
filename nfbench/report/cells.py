"""Cells: what the measurement rows say about one quantity of one sampler.

Tables, derived rows and claims all read measurements through `Cells`. A cell joins the rows of several seeds
or processes; rows kept from older versions hold the mean over several seeds ("0 1 2") with its interval, and
give the same cell.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from nfbench.errors import UserError
from nfbench.measurements import METRICS, THIS_RUN, read_rows
from nfbench.stats import (
    Comparison,
    GeometricMean,
    comparison,
    geometric_mean,
    mean_interval,
    paired,
    ratio_of_pairs,
    std_of_interval,
)

FEWEST_SEEDS = 3  # the interval over two seeds is nine standard deviations to either side
NOT_COMPARED = {  # flags of cells that no verdict is drawn from, the gravest first
    "non_finite": "an image is not finite",
    "seen_by_loss": "a loss has seen these features",
    "rank_deficient": "too few images for this many features",
    "busy": "the machine was busy",
}
SHARED = ("space", "task")  # columns that are empty unless a query names a value
DEFAULT_PRECISION = "fp32"
Key = tuple[str, str]  # origin, experiment
Record = dict[str, Any]  # a measurement row
Ends = tuple[float, float]


@dataclass(frozen=True)
class Cell:
    """One quantity of one sampler.

    Attributes:
        value: mean over seeds (geometric over processes); None where it is missing at a seed.
        std: over seeds, divisor n - 1.
        over_seeds: 95% interval of the mean over seeds.
        over_samples: 95% interval for the given models: over samples, or over processes of a timing.
        parts: value by seed, or by process of a timing.
        seeds: of the rows; empty where there are none.
        flag: why it must not be compared, a key of `nfbench.measurements.FLAGS`, or "".
        records: the rows that it is made of.
    """

    value: float | None = None
    std: float | None = None
    over_seeds: Ends | None = None
    over_samples: Ends | None = None
    parts: Mapping[Any, float | None] = field(default_factory=dict)
    seeds: tuple[str, ...] = ()
    flag: str = ""
    records: Sequence[Record] = ()

    @property
    def interval(self) -> Ends | None:
        """The interval over seeds where there are enough, else the one for the given models."""
        return self.over_seeds if len(self.seeds) >= FEWEST_SEEDS else self.over_samples

    def inverse(self, scale: float = 1.0) -> "Cell":
        """Return scale / value, e.g. images per second from seconds per image."""
        if not self.value:
            return replace(self, value=None, over_samples=None)
        ends = self.over_samples and (scale / self.over_samples[1], scale / self.over_samples[0])
        return replace(self, value=scale / self.value, std=None, over_seeds=None, over_samples=ends)

    def about(self, column: str) -> str:
        """Return the distinct texts of a column of the rows, e.g. of "commit"."""
        return distinct((record[column] for record in self.records), "; ")


EMPTY = Cell()


def distinct(texts: Iterable[str], between: str = " ") -> str:
    """Join the texts that occur, each once."""
    return between.join(dict.fromkeys(text for text in texts if text))


def reduce(records: Sequence[Record]) -> Cell:
    """Join the rows of one quantity of one sampler."""
    if not records:
        return EMPTY
    if any(record["repetition"] == record["repetition"] for record in records):
        return _over_processes(records)
    single = [record for record in records if " " not in record["seed"]]
    return _over_seeds(single) if single else _of_summary(records)


def _over_processes(records: Sequence[Record]) -> Cell:
    """Join the processes of a timing; those that were disturbed count only where there is no other."""
    valid = [record for record in records if record["value"] == record["value"]]
    valid = [record for record in valid if record["flag"] != "busy"] or valid
    if not valid:
        return Cell(flag=_flag(records), records=records)
    parts = {int(record["repetition"]): record["value"] for record in valid}
    known = METRICS.get(valid[0]["metric"].removesuffix("_ratio"))
    if known is None or not known.geometric:
        return Cell(float(np.median(list(parts.values()))), parts=parts, flag=_flag(valid), records=records)
    mean = geometric_mean(list(parts.values()))
    ends = None if mean.low is None else (mean.low, mean.high)
    return Cell(mean.mean, over_samples=ends, parts=parts, flag=_flag(valid), records=records)


def _over_seeds(records: Sequence[Record]) -> Cell:
    parts = {record["seed"]: _known(record["value"]) for record in records}
    if len(parts) < len(records):
        first = records[0]
        raise UserError(
            f"'{first['metric']}' of '{first['sampler']}' in the experiment '{first['experiment']}'"
            f" ({first['origin']}) was measured twice at one seed; delete its measurements and run again."
        )
    values = list(parts.values())
    mean = None if None in values else float(np.mean(values))
    found = mean_interval(values)
    return Cell(
        mean,
        std=None if found is None else float(np.std(values, ddof=1)),
        over_seeds=found and (found.low, found.high),
        over_samples=None if mean is None else _over_samples(mean, records),
        parts=parts,
        seeds=tuple(seed for seed in parts if seed),
        flag=_flag(records),
        records=records,
    )


def _over_samples(mean: float, records: Sequence[Record]) -> Ends | None:
    """Return the interval over samples of a mean over seeds, whose sample sets are independent."""
    if any(not math.isfinite(record["low"] + record["high"]) for record in records):
        return None
    below = math.hypot(*(record["value"] - record["low"] for record in records)) / len(records)
    above = math.hypot(*(record["high"] - record["value"] for record in records)) / len(records)
    return mean - below, mean + above


def _of_summary(records: Sequence[Record]) -> Cell:
    """Read the one row that holds a mean over several seeds."""
    (record,) = records
    seeds = tuple(record["seed"].split())
    ends = (record["low"], record["high"])
    std = std_of_interval(*ends, len(seeds))
    return Cell(
        _known(record["value"]),
        std=std,
        over_seeds=None if std is None else ends,
        seeds=seeds,
        flag=record["flag"],
        records=records,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _flag(records: Iterable[Record]) -> str:
    """Return the gravest flag of several rows."""
    flags = {record["flag"] for record in records} - {""}
    return next((flag for flag in NOT_COMPARED if flag in flags), next(iter(sorted(flags)), ""))


def read_measured(paths: Iterable[str | Path]) -> tuple[pd.DataFrame, dict[Key, dict[str, Any]]]:
    """Read measurement files, of one experiment each, and the resolved experiments that lie beside them."""
    parts, experiments = [], {}
    for path in map(Path, paths):
        rows, about = read_rows(path), yaml.safe_load(path.with_name("experiment.yaml").read_text())
        experiments[rows["origin"].iloc[0] if len(rows) else THIS_RUN, about["experiment"]] = about
        parts.append(rows)
    return pd.concat(parts, ignore_index=True), experiments


def attributes(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of a resolved experiment by name, in order.

    Beside its own attributes every row has `sweep`: what differs within its group ("step", "guidance",
    "options", or "" for a row by itself), and `last`: whether it has the last step of its group.
    """
    rows = {row["name"]: {"group": row["name"], **row} for row in experiment.get("samplers", [])}
    groups = defaultdict(list)
    for row in rows.values():
        groups[row["group"]].append(row)
    for of_group in groups.values():
        steps = [row.get("step") or math.inf for row in of_group]  # without one: the end of the training
        differ = [key for key in ("step", "guidance") if len({row.get(key) for row in of_group}) > 1]
        for row, step in zip(of_group, steps, strict=True):
            row["sweep"] = (differ or ["options"])[0] if len(of_group) > 1 else ""
            row["last"] = step == max(steps)
    return rows


class Cells:
    """Measurements by origin, experiment, sampler and metric."""

    def __init__(self, rows: pd.DataFrame, experiments: Mapping[Key, Mapping[str, Any]]):
        """Index rows.

        Args:
            rows: of `nfbench.measurements.read_rows`.
            experiments: resolved experiments by (origin, experiment).
        """
        self.rows = {key: attributes(experiment) for key, experiment in experiments.items()}
        self._records: dict[tuple, list[Record]] = defaultdict(list)
        for record in rows.to_dict("records"):
            self._records[tuple(record[c] for c in ("origin", "experiment", "sampler", "metric"))].append(
                record
            )
        self.keys = list(dict.fromkeys([*self.rows, *(found[:2] for found in self._records)]))

    def samplers(self, key: Key, metric: str) -> list[str]:
        """Return which samplers have rows of a metric: those of the experiment in its order, then others."""
        have = [found[2] for found in self._records if found[:2] == key and found[3] == metric]
        order = list(self.rows.get(key, ()))
        return sorted(have, key=lambda name: order.index(name) if name in order else len(order))

    def metrics(self, key: Key, sampler: str, prefix: str) -> list[str]:
        """Return the metrics of a sampler whose names are a prefix and a number, by number."""
        named = [found[3] for found in self._records if found[:3] == (*key, sampler)]
        numbered = [
            name for name in named if name.removeprefix(prefix).isdecimal() and name.startswith(prefix)
        ]
        return sorted(numbered, key=lambda name: int(name.removeprefix(prefix)))

    def records(self, key: Key, sampler: str, metric: str, **where: Any) -> list[Record]:
        """Return rows whose columns have the given values; None stands for any.

        Of times in several precisions, those in fp32 are meant where none is named.
        """
        where = dict.fromkeys(SHARED, "") | where  # None: any value
        found = self._records.get((*key, sampler, metric), [])
        for column, wanted in where.items():
            if wanted is not None:
                found = [record for record in found if record[column] == wanted]
        if "precision" not in where and found and found[0]["batch_size"] == found[0]["batch_size"]:
            found = [record for record in found if record["precision"] == DEFAULT_PRECISION] or found
        return found

    def cell(self, key: Key, sampler: str | None, metric: str, **where: Any) -> Cell:
        """Return a sampler's cell; EMPTY where nothing was measured."""
        return reduce(self.records(key, sampler, metric, **where)) if sampler else EMPTY

    def of_model(
        self, key: Key, model: str | None, metric: str, step: int | None = None, **where: Any
    ) -> Cell:
        """Return the cell of a flow or reverse, at a training step or at the end of its training."""
        found = self.records(key, model, metric, **where) if model else []
        if step is not None and any(record["step"] == step for record in found):
            return reduce([record for record in found if record["step"] == step])
        last: dict[str, Record] = {}
        for record in found:
            known = last.setdefault(record["seed"], record)
            if record["step"] > known["step"]:
                last[record["seed"]] = record
        return reduce(list(last.values()))

    def difference(self, key: Key, first: str, second: str, metric: str, **where: Any) -> Comparison | None:
        """Return first minus second over pairs of seeds; None where it is not known."""
        one, other = (self.cell(key, name, metric, **where).parts for name in (first, second))
        if common := [seed for seed in one if seed in other]:
            return paired([one[seed] for seed in common], [other[seed] for seed in common])
        for sign, a, b in ((1, first, second), (-1, second, first)):
            for record in self.records(key, a, f"{metric}_difference", relative_to=b, **where):
                n = len(record["seed"].split())
                std = std_of_interval(record["low"], record["high"], n)
                return comparison(sign * record["value"], std, n)
        return None

    def time_ratio(
        self, key: Key, first: str, second: str, metric: str, **where: Any
    ) -> GeometricMean | None:
        """Return first over second, process by process; None where no process pairs up."""
        return ratio_of_pairs(*(self.cell(key, name, metric, **where).parts for name in (first, second)))
