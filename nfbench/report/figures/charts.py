"""Charts: quality against speed, number of samples and guidance; training curves. All are queries on rows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nfbench.report.figures.catalogue import chart_names
from nfbench.report.figures.charts_speed import iterations, speedup, tolerance, training_time
from nfbench.report.figures.measured import Measured, Row, error_bar, looks
from nfbench.report.figures.style import (
    REAL,
    REAL_NOISE,
    SPACE_TITLES,
    finish,
    log_axis,
    panels,
    save,
    series,
)
from nfbench.report.tables import DATA_ROWS, SAME_IMAGES

NO_VERDICT = "\n(n under twice the features: no verdict)"


def draw_charts(rows: pd.DataFrame, experiment: Mapping[str, Any], folder: str | Path) -> None:
    """Write NAME.png and NAME.pdf of every chart that an experiment has measurements for.

    Args:
        rows: measurement rows of the experiment.
        experiment: resolved.
    """
    measured = Measured.of(rows, experiment)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in chart_names(experiment):
        save(CHARTS[name](measured), Path(folder, f"{name}.png"), Path(folder, f"{name}.pdf"))


def quality_speed(measured: Measured) -> Figure:
    """Draw the Frechet distance against milliseconds an image at batch 1, a panel a feature space."""
    figure, grid = panels(len(measured.spaces))
    for axes, space in zip(grid, measured.spaces, strict=True):
        _quality_speed_panel(axes, measured, space)
        axes.set(xlabel="latency at batch 1 (ms per image)", title=SPACE_TITLES[space])
    grid[0].set_ylabel("Fréchet distance")
    return finish(figure)


def _quality_speed_panel(axes: Axes, measured: Measured, space: str) -> None:
    rows, points = [row for row in measured.rows() if row["speed"]], []
    styles = looks(rows)
    for row in rows:
        time, distance = measured.time(row, 1), measured.cell(row, "fd", space=space)
        if time.value is not None and distance.value is not None:
            points.append((time.value, distance.value))
            bars = {"xerr": error_bar(time), "yerr": error_bar(distance), "capsize": 1.5, "elinewidth": 0.7}
            axes.errorbar(*points[-1], **bars, linestyle="none", label=row["group"], **styles[row["name"]])
    front = pareto_front(np.array(points).reshape(-1, 2))
    if len(front) > 1:
        axes.step(*front.T, where="post", color="0.75", linewidth=0.8, zorder=0, label="Pareto front")
    for kind, look in (("real", REAL), ("real+noise", REAL_NOISE)):
        if (value := measured.real("fd", space, kind)) is not None:
            axes.axhline(value, **look)
    log_axis(axes.xaxis)
    log_axis(axes.yaxis)


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Return the points (n, 2) that no other beats, sorted; lower is better in both columns.

    A point beats another where it is at least as good in both and better in one; equal means within a
    relative `SAME_IMAGES`, so that ties stay on the front together.
    """
    one, other = points[:, None], points[None]
    as_good = (one <= other * (1 + SAME_IMAGES)).all(axis=2)
    better = (one < other * (1 - SAME_IMAGES)).any(axis=2)
    kept = points[~(as_good & better).any(axis=0)]
    return kept[np.lexsort((-kept[:, 1], kept[:, 0]))]


def sample_size(measured: Measured) -> Figure:
    """Draw the Frechet distance against one over the number of samples, a panel a feature space.

    Sweeps are left out, and samplers whose distances are those of an earlier one: exact inverses draw the
    same images. Where the distance was extrapolated to infinitely many samples, an open marker shows it.
    """
    shown = _unlike(measured)
    figure, grid = panels(len(measured.spaces))
    for axes, space in zip(grid, measured.spaces, strict=True):
        index, sizes = 0, set()
        for row in shown:
            look = {"real": REAL, "real+noise": REAL_NOISE}.get(row["type"])
            style = look | {"marker": "."} if look else series(index) | {"label": row["group"]}
            index += look is None
            sizes |= set(_size_curve(axes, measured, row, space, style))
        names = ["∞", *(f"{n:g}" for n in sorted(sizes))]
        axes.set_xticks([0, *(1 / n for n in sorted(sizes))], names)
        axes.set(xlabel="number of samples, spaced as 1/n", title=SPACE_TITLES[space])
        log_axis(axes.yaxis)
    grid[0].set_ylabel("Fréchet distance")
    return finish(figure)


def _unlike(measured: Measured) -> list[Row]:
    """Return the rows without those that repeat an earlier one's images."""
    kept: list[tuple[Row, list[float]]] = []
    for row in measured.rows():
        found = [measured.cell(row, "fd", space=space).value for space in measured.spaces]
        if row["type"] == "class-means" or row["sweep"] not in ("", "step") or not row["last"]:
            continue
        if None not in found and not any(np.allclose(found, other, rtol=SAME_IMAGES) for _, other in kept):
            kept.append((row, found))
    return [row for row, _ in kept]


def _size_curve(axes: Axes, measured: Measured, row: Row, space: str, style: dict[str, Any]) -> list[float]:
    """Draw the means over seeds at every size, and return the sizes; a size that a seed lacks is a gap."""
    records = [r for name in ("fd_at_n", "fd") for r in measured.records(row["name"], name, space=space)]
    frame = pd.DataFrame(records, columns=["n", "seed", "value"])
    table = frame.pivot_table(index="n", columns="seed", values="value", dropna=False)
    means = table.mean(axis=1, skipna=False)
    axes.plot(1 / means.index.to_numpy(), means.to_numpy(), markersize=3, **style)
    end = measured.cell(row, "fd_at_infinity", space=space)
    if end.value is not None and end.value > 0:
        look = {"color": style["color"], "marker": style.get("marker", ".")}
        axes.errorbar(0, end.value, error_bar(end), **look, markerfacecolor="white", capsize=2, markersize=4)
    return means.index.tolist()


def training(measured: Measured) -> Figure:
    """Draw validation measures against training seconds: likelihood of flows, reconstruction of reverses."""
    sections = {
        "flows": ("validation_nll_nats_per_dim", "validation NLL (nats per dimension)"),
        "reverses": ("validation_reconstruction_mse", "validation reconstruction MSE"),
    }
    sections = {name: about for name, about in sections.items() if _curves(measured, name, about[0])}
    figure, grid = panels(len(sections), height=2.4)
    start = 0
    for axes, (section, (metric, title)) in zip(grid, sections.items(), strict=False):
        curves = _curves(measured, section, metric)
        names = list(dict.fromkeys(name for name, _ in curves))
        for (name, _), curve in curves.items():
            style = series(start + names.index(name)) | {"label": name, "markersize": 2.5}
            axes.plot(curve["train_seconds"], curve[metric], **style)
        axes.set(xlabel="training time (s)", ylabel=title)
        start += len(names)
        if section == "reverses":
            log_axis(axes.yaxis)
    return finish(figure)


def _curves(measured: Measured, section: str, metric: str) -> dict[tuple[str, str], pd.DataFrame]:
    """Return seconds and a measure by step, for every model and seed that has both."""
    found = {}
    for name in measured.experiment[section]:
        records = measured.records(name, "train_seconds") + measured.records(name, metric)
        for seed, rows in pd.DataFrame(records, columns=["seed", "step", "metric", "value"]).groupby("seed"):
            curve = rows.pivot(index="step", columns="metric", values="value")
            if metric in curve and curve[metric].notna().any():
                found[name, seed] = curve
    return found


def guidance(measured: Measured) -> Figure:
    """Draw the Frechet distances and the label accuracy against the guidance scale, a line a group."""
    shown = [("fd", space, SPACE_TITLES[space]) for space in measured.spaces]
    shown.append(("label_accuracy", "classifier", "label accuracy"))
    figure, grid = panels(len(shown))
    for axes, (metric, space, title) in zip(grid, shown, strict=True):
        flags = against_guidance(axes, measured, metric, space)
        axes.set(xlabel="guidance scale $w$", title=title + NO_VERDICT * ("rank_deficient" in flags))
        if metric == "fd":
            axes.set_ylabel("Fréchet distance")
            log_axis(axes.yaxis)
        else:
            axes.set_ylabel("share found by the classifier")
    return finish(figure)


def against_guidance(axes: Axes, measured: Measured, metric: str, space: str) -> set[str]:
    """Draw one measure: means over seeds with a band of one standard deviation; return the flags.

    A scale at which a seed has no value is a gap. Dashed: a loss of the training has seen these features.
    """
    groups, flags = _guided_groups(measured), set()
    for index, (group, rows) in enumerate(groups.items()):
        cells = [measured.cell(row, metric, space=space) for row in rows]
        flags |= {cell.flag for cell in cells}
        scales = np.array([row["guidance"] for row in rows])
        mean, std = (np.array([getattr(c, k) for c in cells], dtype=float) for k in ("value", "std"))
        if np.isnan(mean).all():
            continue
        style = series(index)
        seen = any(cell.flag == "seen_by_loss" for cell in cells)
        axes.plot(scales, mean, label=group, linestyle="--" if seen else "-", **style)
        axes.fill_between(scales, mean - std, mean + std, color=style["color"], alpha=0.2, linewidth=0)
    if (value := measured.real(metric, space)) is not None:
        axes.axhline(value, **REAL)
    return flags


def _guided_groups(measured: Measured) -> dict[str, Sequence[Row]]:
    """Return the rows of every group with several guidance scales, by scale."""
    groups: dict[str, list[Row]] = {}
    for row in measured.rows(step=None):
        if row["type"] not in DATA_ROWS:
            groups.setdefault(row["group"], []).append(row)
    several = {name: rows for name, rows in groups.items() if len({row["guidance"] for row in rows}) > 1}
    return {name: sorted(rows, key=lambda row: row["guidance"]) for name, rows in several.items()}


CHARTS: dict[str, Callable[[Measured], Figure]] = {
    "quality_speed": quality_speed,
    "sample_size": sample_size,
    "training": training,
    "speedup": speedup,
    "tolerance": tolerance,
    "iterations": iterations,
    "guidance": guidance,
    "training_time": training_time,
}
