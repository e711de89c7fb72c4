"""Cells of table 1 on what another sample set of the same models would change, apart from that over seeds."""

import math
from typing import Any

import numpy as np

from nfbench.errors import UserError
from nfbench.student import over_seeds

Quality = dict[str, Any]

# Of the feature spaces that every experiment may have; further ones have a distance and its floors.
EVERYWHERE = ("effnet", "classifier")
BROUGHT = ("inception", "dinov2")

INTERVAL_COLUMNS = (
    *(
        f"{column}_{space}{suffix}"
        for space in EVERYWHERE
        for column, suffix in (
            ("fd", "_ci_low"),
            ("fd", "_ci_high"),
            ("fd", "_seeds_ci_low"),
            ("fd", "_seeds_ci_high"),
            ("fd", "_class_means"),
            ("precision", ""),
            ("recall", ""),
        )
    ),
    *(
        f"fd_{space}{suffix}"
        for space in BROUGHT
        for suffix in ("", "_std", "_floor", "_floor_noisy", "_ci_low", "_ci_high")
    ),
    "inception_score",
    "inversion_visible_share",
)


def interval_cells(quality: list[Quality], anchor: list[Quality], space: str) -> dict[str, float | None]:
    """Return the cells of one feature space beyond its distance: intervals, anchor, precision and recall.

    Args:
        quality: of one sampler, of measure_quality, one item a seed.
        anchor: of the class means.
        space: the feature space.
    """
    found = {
        f"fd_{space}_ci_low": None,
        f"fd_{space}_ci_high": None,
        f"fd_{space}_class_means": _mean(anchor, space, "frechet"),
        f"precision_{space}": _mean(quality, space, "precision"),
        f"recall_{space}": _mean(quality, space, "recall"),
    }
    low, high = over_samples(quality, space)
    found |= {f"fd_{space}_ci_low": low, f"fd_{space}_ci_high": high}
    seeds = over_seeds([row["spaces"].get(space, {}).get("frechet") for row in quality])
    if seeds:
        found |= {f"fd_{space}_seeds_ci_low": seeds.low, f"fd_{space}_seeds_ci_high": seeds.high}
    if space == "inception":
        found["inception_score"] = _mean(quality, space, "inception_score")
    return found


def over_samples(quality: list[Quality], space: str) -> tuple[float | None, float | None]:
    """Return the interval over samples of the mean distance over the given seeds, as (low, high).

    Each seed has an interval of its own, and their sample sets are independent: the ends lie off the mean by
    the root of the sum of squares of the seeds' own, over the number of seeds.
    """
    found = [row["spaces"].get(space, {}) for row in quality]
    intervals = [row.get("over_samples", {}).get("frechet") for row in found]
    if not intervals or any(interval is None for interval in intervals):
        return None, None
    centre = float(np.mean([row["frechet"] for row in found]))
    below = [row["frechet"] - interval["low"] for row, interval in zip(found, intervals, strict=True)]
    above = [interval["high"] - row["frechet"] for row, interval in zip(found, intervals, strict=True)]
    low, high = (math.hypot(*side) / len(found) for side in (below, above))
    return centre - low, centre + high


def check_comparable(rows: dict[str, list[Quality]]) -> None:
    """Refuse a table of sample sets that were not measured alike.

    Args:
        rows: {sampler or floor: its measurements, one a seed}.

    Raises:
        UserError: two differ in the number of images, in the reference, or in the network of a feature space.
    """
    seen: dict[tuple[str, str], tuple[Any, str]] = {}
    for name, quality in rows.items():
        for row in quality:
            facts = {("", "n"): row["samples"]["n"]}
            for space, measured in row["spaces"].items():
                for key in ("n_reference", "reference_sha256", "weights_sha256"):
                    facts[space, key] = measured.get(key)
            for key, value in facts.items():
                first, other = seen.setdefault(key, (value, name))
                if value != first:
                    raise UserError(_refusal(key, value, name, first, other))


def _refusal(key: tuple[str, str], value: Any, name: str, first: Any, other: str) -> str:
    space, fact = key
    what = {
        "n": "the number of images",
        "n_reference": f"the number of reference images in the feature space '{space}'",
        "reference_sha256": f"the reference images in the feature space '{space}'",
        "weights_sha256": f"the weights of the feature space '{space}'",
    }[fact]
    return (
        f"The quality of '{name}' and of '{other}' cannot be compared: they differ in {what}"
        f" ({_short(value)} and {_short(first)}); delete both measurements and run snakemake again."
    )


def _short(value: Any) -> str:
    return str(value)[:12]


def _mean(quality: list[Quality], space: str, measure: str) -> float | None:
    values = [row["spaces"].get(space, {}).get(measure) for row in quality]
    if not values or any(value is None for value in values):
        return None
    return float(np.mean(values))
