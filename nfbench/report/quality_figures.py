"""Figures of quality: against speed, and against the number of samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nfbench.report.figures import SPACE_TITLES, log_axis
from nfbench.report.speedups import label, method_of
from nfbench.report.style import PAGE_WIDTH, series
from nfbench.sample.sampler import entry

ALIKE = 1e-3  # relative difference of two distances up to which the same images were drawn, but for rounding


def quality_against_speed(rows: pd.DataFrame, spaces: dict[str, str]) -> Figure:
    """Draw the Frechet distance against latency at batch 1, one panel a feature space.

    Args:
        rows: table 1 of one experiment.
        spaces: {space: its title}; the floors are drawn as lines.
    """
    figure, grid = plt.subplots(1, len(spaces), figsize=(PAGE_WIDTH * 0.5 * len(spaces), 2.5), squeeze=False)
    for axes, (space, title) in zip(grid[0], spaces.items(), strict=True):
        _quality_panel(axes, rows, space)
        axes.set_title(title)
    figure.tight_layout()
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncol=min(4, len(labels)), bbox_to_anchor=(0.5, 0.0))
    return figure


def _quality_panel(axes: Axes, rows: pd.DataFrame, space: str) -> None:
    measured = rows.dropna(subset=["ms_per_image_batch1", f"fd_{space}"])
    methods = list(dict.fromkeys(method_of(row) for _, row in rows.iterrows()))
    for _, row in measured.iterrows():
        axes.errorbar(
            row["ms_per_image_batch1"],
            row[f"fd_{space}"],
            yerr=error_bar(row, space),
            linestyle="none",
            capsize=2,
            label=label(row),
            # Hollow: noisy output. Black edge: a tuned threshold.
            markerfacecolor=None if entry(row["sampler"]).output == "clean" else "white",
            **series(methods.index(method_of(row))),
            **({"markeredgecolor": "black"} if row["variant"] == "tuned" else {}),
        )
    best = pareto_front(measured["ms_per_image_batch1"].to_numpy(), measured[f"fd_{space}"].to_numpy())
    axes.step(*best, where="post", color="0.75", linewidth=0.8, zorder=0, label="Pareto front")
    floor, noisy = rows[f"fd_{space}_floor"].iloc[0], rows[f"fd_{space}_floor_noisy"].iloc[0]
    axes.axhline(floor, color="0.3", linewidth=0.8, linestyle="--", label="real images")
    axes.axhline(noisy, color="0.6", linewidth=0.8, linestyle=":", label="real images + flow noise")
    log_axis(axes.xaxis)
    log_axis(axes.yaxis)
    axes.set(xlabel="latency at batch 1 (ms an image)", ylabel="Fréchet distance")


def error_bar(row: pd.Series, space: str) -> np.ndarray | None:
    """Return how far a distance's interval reaches below and above, (2, 1): over seeds, else over samples."""
    name = f"fd_{space}"
    for kind in ("_seeds_ci", "_ci"):
        low, high = (row.get(f"{name}{kind}_{end}") for end in ("low", "high"))
        if pd.notna(low) and pd.notna(high):
            # A logarithmic axis shows nothing below 0.
            return np.array([[row[name] - max(low, row[name] / 10)], [high - row[name]]])
    return None


def pareto_front(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (n,), (n,) that no other is below and left of, from left to right."""
    order = np.lexsort((y, x))
    lowest = np.minimum.accumulate(y[order])
    kept = order[np.concatenate([[True], lowest[1:] < lowest[:-1]])] if len(order) else order
    return x[kept], y[kept]


def quality_against_size(
    quality: Mapping[str, Sequence[Mapping[str, Any]]], floors: Mapping[str, str], spaces: Sequence[str]
) -> Figure:
    """Draw the Frechet distance against one over the number of samples, one panel a feature space.

    A sampler whose distances are those of an earlier one, to a thousandth in every space and at every seed,
    is left out: the exact inverses draw the same images. Where the distance could be extrapolated, an open
    marker at 0 shows it with its interval; see `nfbench.measure.intervals.frechet_at_infinity`.

    Args:
        quality: what was measured of each sampler and each floor, one a seed.
        floors: {name: title} of those that are real images.
        spaces: feature spaces.
    """
    shown = _unlike(quality, spaces)
    figure, grid = plt.subplots(1, len(spaces), figsize=(PAGE_WIDTH * 0.5 * len(spaces), 2.5), squeeze=False)
    for axes, space in zip(grid[0], spaces, strict=True):
        curves = {name: [seed["spaces"][space] for seed in quality[name]] for name in shown}
        for index, (name, seeds) in enumerate(curves.items()):
            style = {"color": "0.3", "marker": ".", "linestyle": "--"} if name in floors else series(index)
            if name in list(floors)[1:]:
                style["linestyle"] = ":"
            _size_curve(axes, seeds, floors.get(name, name), style)
        sizes = {part["n"] for seeds in curves.values() for seed in seeds for part in seed["frechet_by_size"]}
        axes.set_xticks([0, *(1 / n for n in sorted(sizes))], ["∞", *map(str, sorted(sizes))])
        axes.set(xlabel="number of samples, spaced as 1/n", ylabel="Fréchet distance")
        axes.set_title(SPACE_TITLES[space])
        log_axis(axes.yaxis)
    figure.tight_layout()
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncol=min(4, len(labels)), bbox_to_anchor=(0.5, 0.0))
    return figure


def _unlike(quality: Mapping[str, Sequence[Mapping[str, Any]]], spaces: Sequence[str]) -> list[str]:
    """Return the names that were measured, without those that repeat an earlier one."""
    kept: dict[str, np.ndarray] = {}
    for name, seeds in quality.items():
        if not all(seed["spaces"] for seed in seeds):
            continue  # its images are not finite
        found = np.array([[seed["spaces"][space]["frechet"] for space in spaces] for seed in seeds])
        if not any(np.allclose(found, other, rtol=ALIKE) for other in kept.values()):
            kept[name] = found
    return list(kept)


def _size_curve(axes: Axes, seeds: Sequence[Mapping[str, Any]], name: str, style: dict[str, str]) -> None:
    """Draw the mean over seeds at every size."""
    rows = pd.DataFrame([part for seed in seeds for part in seed["frechet_by_size"]])
    means = rows.groupby("n")["frechet"].mean()
    axes.plot(1 / means.index.to_numpy(), means.to_numpy(), label=name, markersize=3, **style)
    ends = [seed["frechet_at_infinity"] for seed in seeds]
    if all(end["value"] is not None and end["value"] > 0 for end in ends):
        value = float(np.mean([end["value"] for end in ends]))
        width = np.linalg.norm([end["high"] - end["value"] for end in ends]) / len(ends)
        look = {"marker": style["marker"], "color": style["color"], "markerfacecolor": "white"}
        axes.errorbar(0, value, yerr=[[min(width, 0.9 * value)], [width]], capsize=2, markersize=4, **look)
