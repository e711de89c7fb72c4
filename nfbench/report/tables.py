"""Table 1: one row per experiment and sampler, every cell traced to a measurement's own file.

A cell that was not measured is empty, never zero.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nfbench.errors import UserError
from nfbench.files import atomic_path
from nfbench.report.over_samples import EVERYWHERE, INTERVAL_COLUMNS, check_comparable, interval_cells
from nfbench.report.speedups import with_speedups
from nfbench.sample.contestant import contestant
from nfbench.sample.sampler import entry

LATENCY_BATCH = 1
THROUGHPUT_BATCH = 64

COLUMNS = (
    *("experiment", "sampler", "variant", "tau", "nfe", "score_evaluations", "token_steps", "sweeps"),
    "params_millions",
    *("fd_effnet", "fd_effnet_std", "fd_effnet_floor", "fd_effnet_floor_noisy"),
    *("kid_effnet", "kid_effnet_std", "kid_effnet_floor", "kid_subset_size"),
    *("fd_classifier", "fd_classifier_std", "fd_classifier_floor", "fd_classifier_floor_noisy"),
    *("label_accuracy", "label_accuracy_real", "inversion_mse", "residual", "reconstruction_mse"),
    *("fd_effnet_reconstruction", "fd_classifier_reconstruction"),
    *("nll_nats_per_dim", "nll_limit", "train_seconds_forward", "train_seconds_reverse"),
    *("seen_spaces", "ms_per_image_batch1", "images_per_second_batch64"),
    *("speedup_batch1", "speedup_batch64", "speedup_baseline"),
    *("non_finite", "clipped", "n_samples", "n_reference", "seeds", "notes"),
    *("device", "precision", "commit"),
    *INTERVAL_COLUMNS,
)


@dataclass(frozen=True)
class Measured:
    """What was measured of one contestant, as read from the measurements' files; one item per seed.

    Attributes:
        contestant: see `nfbench.sample.contestant`.
        quality: of measure_quality.
        inversion: of measure_inversion.
        reconstruction: of measure_reconstruction; empty for samplers that are not learned. Its
            `denoised` values stand for contestants that are denoised.
        speed: rows of one benchmark run, see `nfbench.measure.speed.read_benchmark_json`.
    """

    contestant: str
    quality: list[dict[str, Any]]
    inversion: list[dict[str, Any]]
    reconstruction: list[dict[str, Any]]
    speed: list[dict[str, Any]]


@dataclass(frozen=True)
class Floors:
    """Quality of images that no model drew, at the samplers' n, one item a seed.

    Attributes:
        clean: of real test images as they are.
        noisy: of the same with the flow's noise.
        anchor: of the mean image of each class: averages, without any variety.
    """

    clean: list[dict[str, Any]]
    noisy: list[dict[str, Any]]
    anchor: list[dict[str, Any]] = field(default_factory=list)


def mean(values: list[float | None]) -> float | None:
    """Return the mean over seeds; None where a seed has no value, rather than the others' mean."""
    if not values or any(value is None for value in values):
        return None
    return float(np.mean(values))


def spread(values: list[float | None]) -> float | None:
    """Return the standard deviation over seeds (divisor n - 1); None for fewer than two."""
    if len(values) < 2 or any(value is None for value in values):
        return None
    return float(np.std(values, ddof=1))


def table(
    experiment: str, samplers: list[Measured], floors: Floors, likelihood: list[dict[str, Any]]
) -> pd.DataFrame:
    """Return the rows of one experiment.

    Raises:
        UserError: sample sets were not measured alike, see `check_comparable`.
    """
    measured = {sampler.contestant: sampler.quality for sampler in samplers}
    measured |= {"floor": floors.clean, "floor-noisy": floors.noisy, "class-means": floors.anchor}
    check_comparable(measured)
    rows = [_row(experiment, sampler, floors, likelihood) for sampler in samplers]
    return with_speedups(pd.DataFrame(rows)).reindex(columns=list(COLUMNS))


def _row(
    experiment: str, measured: Measured, floors: Floors, likelihood: list[dict[str, Any]]
) -> dict[str, Any]:
    samples = [quality["samples"] for quality in measured.quality]
    training = [sample["training"] for sample in samples]
    drawn_by = contestant(measured.contestant)
    sampler = drawn_by.sampler
    learned = entry(sampler).learned
    made = origins(measured.quality)
    return {
        "experiment": experiment,
        "sampler": sampler,
        **_setting(measured),
        "nfe": mean([sample["cost"]["nfe"] for sample in samples]),
        "score_evaluations": mean([sample["cost"]["score_evaluations"] for sample in samples]),
        "token_steps": mean([sample["cost"]["token_steps"] for sample in samples]),
        "sweeps": _sweeps([sample["cost"]["sweeps"] for sample in samples]),
        "params_millions": mean([sample["parameters"] / 1e6 for sample in samples]),
        **distances(measured.quality, floors),
        "label_accuracy": mean([quality["label_accuracy"] for quality in measured.quality]),
        "label_accuracy_real": mean([floor["label_accuracy"] for floor in floors.clean]),
        "inversion_mse": mean([row["inversion_mse"] for row in measured.inversion]),
        "residual": None if drawn_by.denoised else mean([row["residual"] for row in measured.inversion]),
        "inversion_visible_share": mean([row.get("visible_share") for row in measured.inversion]),
        **_reconstruction(measured),
        "nll_nats_per_dim": mean([row["nll_nats_per_dim"] for row in likelihood]),
        "nll_limit": mean([row["nll_limit"] for row in likelihood]),
        "train_seconds_forward": mean([row["train_seconds"] for row in likelihood]),
        "train_seconds_reverse": mean([row["seconds"] for row in training]) if learned else None,
        "seen_spaces": " ".join(seen_spaces(measured.quality)) or None,
        **_speeds(measured.speed),
        "non_finite": sum(sample["non_finite"] for sample in samples),
        "clipped": sum(sample["clipped"] for sample in samples),
        "n_samples": samples[0]["n"],
        "seeds": " ".join(str(sample["seed"]) for sample in samples),
        "notes": "; ".join(notes(measured.quality, measured.speed)),
        "device": "; ".join(distinct(origin["device"] for origin in made)),
        "precision": "; ".join(distinct(origin["precision"] for origin in made)),
        "commit": " ".join(distinct(commits(made, measured.speed))),
    }


def seen_spaces(quality: list[dict[str, Any]]) -> list[str]:
    """Return the feature spaces that a loss of the contestant's training has compared, at any seed."""
    return sorted({s for row in quality for s in row["samples"]["training"].get("seen_spaces", [])})


def _reconstruction(measured: Measured) -> dict[str, float | None]:
    """Return the error of held-out images on the way there and back, and their distances to the reference."""
    kind = "denoised" if contestant(measured.contestant).denoised else "reconstruction"
    found = {"reconstruction_mse": mean([row[f"{kind}_mse"] for row in measured.reconstruction])}
    for space in EVERYWHERE:
        distances = [row["scores"][kind].get(f"fd_{space}") for row in measured.reconstruction]
        found[f"fd_{space}_reconstruction"] = mean(distances)
    return found


def _setting(measured: Measured) -> dict[str, Any]:
    """Return which threshold an iterative inverse stopped at, and where that comes from."""
    chosen = contestant(measured.contestant)
    settings = measured.quality[0]["samples"]["settings"]
    if not entry(chosen.sampler).iterative:
        return {"variant": None, "tau": None}
    return {"variant": chosen.variant or "published", "tau": settings["tau"]}


def _sweeps(per_seed: list[list[float] | None]) -> str | None:
    """Return the mean sweeps of every block, data side first, in one cell."""
    if not per_seed or any(sweeps is None for sweeps in per_seed):
        return None
    return " ".join(f"{value:.1f}" for value in np.mean(per_seed, axis=0))


def distances(quality: list[dict[str, Any]], floors: Floors) -> dict[str, Any]:
    """Return the cells of every feature space that was measured."""
    cells: dict[str, Any] = {}
    for space, floor in floors.clean[0]["spaces"].items():
        cells |= {
            f"fd_{space}": mean(values(quality, space, "frechet")),
            f"fd_{space}_std": spread(values(quality, space, "frechet")),
            f"fd_{space}_floor": mean(values(floors.clean, space, "frechet")),
            f"fd_{space}_floor_noisy": mean(values(floors.noisy, space, "frechet")),
            "n_reference": floor["n_reference"],
            **interval_cells(quality, floors.anchor, space),
        }
        if space == "effnet":
            cells |= {
                "kid_effnet": mean(values(quality, space, "kid")),
                "kid_effnet_std": spread(values(quality, space, "kid")),
                "kid_effnet_floor": mean(values(floors.clean, space, "kid")),
                "kid_subset_size": floor["kid_subset_size"],
            }
    return cells


def values(quality: list[dict[str, Any]], space: str, measure: str) -> list[float | None]:
    """Return one measure in one feature space, one value a seed, None where it was not measured."""
    return [row["spaces"].get(space, {}).get(measure) for row in quality]


def _speeds(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    seconds = {row["batch_size"]: row["median_s"] for row in rows}
    latency, batch = seconds.get(LATENCY_BATCH), seconds.get(THROUGHPUT_BATCH)
    return {
        "ms_per_image_batch1": None if latency is None else 1e3 * latency / LATENCY_BATCH,
        "images_per_second_batch64": None if batch is None else THROUGHPUT_BATCH / batch,
    }


def origins(qualities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the provenance of the model, the samples and the quality of every seed."""
    return [
        origin
        for quality in qualities
        for origin in (
            quality["samples"]["model_provenance"],
            quality["samples"]["provenance"],
            quality["provenance"],
        )
    ]


def commits(made: list[dict[str, Any]], speed: Iterable[dict[str, Any]] = ()) -> list[str | None]:
    """Return the commits that models, samples and measurements were made at."""
    return [origin["commit"] for origin in made] + [row.get("commit") for row in speed]


def distinct(values: Iterable[str | None]) -> list[str]:
    """Return the values that occur, each once: more than one tells of a row made in several places."""
    return list(dict.fromkeys(value for value in values if value))


def notes(quality: list[dict[str, Any]], speed: Iterable[dict[str, Any]] = ()) -> list[str]:
    """Return what a reader must know before trusting a cell."""
    found = [row["reason"] for row in quality if row["reason"]]
    for space, measure in quality[0]["spaces"].items():
        if measure["rank_deficient"]:
            found.append(
                f"fd_{space}: n = {measure['n']} is under twice the {measure['dim']} features, no verdict"
            )
    if any(row["busy"] for row in speed):
        found.append("speed: the machine was busy with other work")
    return found


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table as it was written: a commit or a seed that looks like a number stays text."""
    return pd.read_csv(path, dtype={"commit": str, "seeds": str})


def join(paths: list[str]) -> pd.DataFrame:
    """Join the tables of several experiments.

    Raises:
        UserError: a table is missing, or has other columns than this version writes.
    """
    tables = []
    for path in paths:
        try:
            tables.append(read_table(path))
        except (FileNotFoundError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            raise UserError(f"Table {path} cannot be read ({error}); run snakemake again.") from None
        if list(tables[-1].columns) != list(COLUMNS):
            raise UserError(f"Table {path} is of another version; delete it and run snakemake again.")
    return pd.concat(tables, ignore_index=True)


def write_csv(path: str | Path, rows: pd.DataFrame) -> None:
    """Write a table as CSV with full precision; empty cells stay empty."""
    with atomic_path(path) as temporary:
        rows.to_csv(temporary, index=False)


def write_markdown(path: str | Path, rows: pd.DataFrame, below: Iterable[str] = ()) -> None:
    """Write a table as Markdown, numbers to four digits, empty columns left out, one row a column.

    `below` are sentences that follow it.

    The table is turned on its side: it has more measures than samplers.
    """
    shown = rows.dropna(axis="columns", how="all").astype(object)
    shown = shown.map(_format).T
    header = "| measure |" + " |" * len(rows) + "\n|---|" + "---|" * len(rows)
    lines = [f"| {name} | " + " | ".join(cells) + " |" for name, cells in shown.iterrows()]
    words = ["", *(f"- {line}" for line in below)] if below else []
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([header, *lines, *words]) + "\n")


def _format(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return str(value)
