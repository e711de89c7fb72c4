"""The paper's figures. Functions take values and return a figure; scripts save it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nfbench.report.speedups import label
from nfbench.report.style import PAGE_WIDTH, series
from nfbench.sample.contestant import contestant
from nfbench.sample.sampler import entry

SPACE_TITLES = {
    "effnet": "EfficientNet-Lite0 features",
    "classifier": "domain classifier features",
    "inception": "Inception-v3 features (FID)",
    "dinov2": "DINOv2 features",
}


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draw one uint8 image (c, H, W), grey or RGB, without interpolation."""
    grey = len(image) == 1
    axes.imshow(
        image[0] if grey else image.transpose(1, 2, 0),
        cmap="gray" if grey else None,
        vmin=0,
        vmax=255,
        interpolation="nearest",
    )
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def image_rows(
    rows: Sequence[tuple[str, np.ndarray]],
    column_titles: Sequence[str],
    rows_per_group: int | None = None,
) -> Figure:
    """Lay images out in named rows: [(name, uint8 (n, c, H, W)), ...], the same n in every row.

    Args:
        column_titles: n of them; written aslant where they would not fit side by side.
        rows_per_group: rows that belong together; groups are set apart.
    """
    n = len(column_titles)
    side = min(0.6, (PAGE_WIDTH - 1.0) / n)
    groups = len(rows) // (rows_per_group or len(rows))
    figure = plt.figure(figsize=(side * n, side * (len(rows) + 0.25 * (groups - 1))))
    outer = figure.add_gridspec(groups, 1, left=0, right=1, bottom=0, top=1, hspace=0.06)
    for group in range(groups):
        members = rows[group * len(rows) // groups : (group + 1) * len(rows) // groups]
        inner = outer[group].subgridspec(len(members), n, wspace=0.05, hspace=0.05)
        for line, (name, images) in enumerate(members):
            for column, image in enumerate(images):
                axes = figure.add_subplot(inner[line, column])
                show_image(axes, image)
                if column == 0:
                    axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
                if group == line == 0:
                    _column_title(axes, column_titles[column], aslant=side < 0.5)
    return figure


def _column_title(axes: Axes, title: str, aslant: bool) -> None:
    if aslant:
        axes.set_title(title, fontsize=6, pad=2, rotation=40, ha="left", va="bottom", x=0.3)
    else:
        axes.set_title(title, fontsize=7, pad=3)


def log_axis(axis: Axis) -> None:
    """Scale an axis logarithmically and label it with plain numbers: 1, 2, 5, 10, ..."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


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
            yerr=None if pd.isna(row[f"fd_{space}_std"]) else row[f"fd_{space}_std"],
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


def pareto_front(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (n,), (n,) that no other is below and left of, from left to right."""
    order = np.lexsort((y, x))
    lowest = np.minimum.accumulate(y[order])
    kept = order[np.concatenate([[True], lowest[1:] < lowest[:-1]])] if len(order) else order
    return x[kept], y[kept]


def method_of(row: pd.Series) -> str:
    """Return the sampler of a table's row without its denoising."""
    return contestant(row["sampler"]).method


def training_curves(forward: list[pd.DataFrame], reverse: dict[str, list[pd.DataFrame]]) -> Figure:
    """Draw validation measures against training seconds: the flow's likelihood, the reverses' error.

    Args:
        forward: one curve a seed, see `nfbench.train.loop.Trained`.
        reverse: curves by method, one a seed.
    """
    panels = 2 if reverse else 1
    figure, grid = plt.subplots(1, panels, figsize=(PAGE_WIDTH * panels / 2, 2.3), squeeze=False)
    for seed, curve in enumerate(forward):
        style = series(0) | {"label": "forward flow" if seed == 0 else None}
        grid[0, 0].plot(curve["seconds"], curve["validation_nll_nats_per_dim"], **style)
    grid[0, 0].set(xlabel="training time (s)", ylabel="validation NLL (nats per dimension)")
    grid[0, 0].legend()
    if reverse:
        _reverse_curves(grid[0, 1], reverse)
    figure.tight_layout()
    return figure


def _reverse_curves(axes: Axes, reverse: dict[str, list[pd.DataFrame]]) -> None:
    for index, (method, curves) in enumerate(reverse.items()):
        for seed, curve in enumerate(curves):
            style = series(index + 1) | {"label": method if seed == 0 else None}
            axes.plot(curve["seconds"], curve["validation_reconstruction_mse"], **style)
    log_axis(axes.yaxis)
    axes.set(xlabel="training time (s)", ylabel="validation reconstruction MSE")
    axes.legend()


def nearest_training_images(
    samples: np.ndarray,
    neighbours: np.ndarray,
    distances: np.ndarray,
    all_distances: dict[str, np.ndarray],
) -> Figure:
    """Draw samples above their nearest training images, and how near all of them lie.

    Args:
        samples, neighbours: uint8 (n, c, H, W).
        distances: RMS difference in grey levels of each pair, (n,).
        all_distances: nearest distances of whole sets, e.g. samples and test images.
    """
    n = len(samples)
    figure = plt.figure(figsize=(PAGE_WIDTH, 2.6))
    outer = figure.add_gridspec(2, 1, height_ratios=[1, 1.2], hspace=0.35)
    grid = outer[0].subgridspec(2, n, wspace=0.06, hspace=0.06)
    for line, (name, images) in enumerate((("sample", samples), ("nearest", neighbours))):
        for column, image in enumerate(images):
            axes = figure.add_subplot(grid[line, column])
            show_image(axes, image)
            if column == 0:
                axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
            if line == 1:
                axes.set_xlabel(f"{distances[column]:.0f}", fontsize=6, labelpad=1)
    axes = figure.add_subplot(outer[1])
    bins = np.linspace(0, max(values.max() for values in all_distances.values()), 50)
    for index, (name, values) in enumerate(all_distances.items()):
        color = series(index)["color"]
        label = f"{name}, median {np.median(values):.1f}"
        axes.hist(values, bins, histtype="step", density=True, color=color, label=label)
    axes.set(xlabel="RMS distance to the nearest training image (grey levels)", ylabel="density")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
