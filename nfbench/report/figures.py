"""The paper's figures. Functions take values and return a figure; scripts save it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nfbench.report.style import PAGE_WIDTH, series

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
