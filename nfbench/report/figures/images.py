"""Figures that show images: samples, nearest training images, states on the way to noise, edited images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from nfbench.report.figures.style import PAGE_WIDTH, legend_below, series

OWN_CLASS = "#D55E00"
ASLANT = {"fontsize": 6, "pad": 2, "rotation": 40, "ha": "left", "va": "bottom", "x": 0.3}


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draw one uint8 image (c, H, W), grey or RGB, without interpolation."""
    grey = len(image) == 1
    look = {"cmap": "gray", "vmin": 0, "vmax": 255} if grey else {}
    axes.imshow(image[0] if grey else image.transpose(1, 2, 0), interpolation="nearest", **look)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


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
            axes = _image_row(figure, inner, line, name, images)
            for each, title in zip(axes, column_titles if group == line == 0 else (), strict=False):
                each.set_title(title, **(ASLANT if side < 0.5 else {"fontsize": 7, "pad": 3}))
    return figure


def first_of_classes(images: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return an image of each wanted class, the first not yet taken; without classes (-1) the first images.

    Args:
        images: of any kind, (n, ...), at least as many of each class as are wanted.
        labels: their class ids, (n,).
        wanted: class ids, (k,).
    """
    if (wanted < 0).any():
        return images[: len(wanted)]
    of_class = {label: iter(np.flatnonzero(labels == label)) for label in np.unique(wanted)}
    return images[[next(of_class[label]) for label in wanted]]


def _image_row(figure: Figure, grid: Any, line: int, name: str, images: np.ndarray) -> list[Axes]:
    """Draw the images of one line of a grid with its name before them."""
    row = [figure.add_subplot(grid[line, column]) for column in range(len(images))]
    for axes, image in zip(row, images, strict=True):
        show_image(axes, image)
    row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
    return row


def nearest_training_images(
    samples: np.ndarray,
    neighbours: np.ndarray,
    distances: np.ndarray,
    all_distances: Mapping[str, np.ndarray],
) -> Figure:
    """Draw samples above their nearest training images, and how near all of them lie.

    Args:
        samples, neighbours: uint8 (n, c, H, W).
        distances: RMS difference in grey levels of each pair, (n,).
        all_distances: nearest distances of whole sets, e.g. samples and test images.
    """
    figure = plt.figure(figsize=(PAGE_WIDTH, 2.8))
    sides = {"left": 0.08, "right": 1, "bottom": 0.15, "top": 1}
    outer = figure.add_gridspec(2, 1, height_ratios=[1, 1.3], hspace=0.25, **sides)
    grid = outer[0].subgridspec(2, len(samples), wspace=0.06, hspace=0.06)
    _image_row(figure, grid, 0, "sample", samples)
    below = _image_row(figure, grid, 1, "nearest", neighbours)
    for axes, distance in zip(below, distances, strict=True):
        axes.set_xlabel(f"{distance:.0f}", fontsize=6, labelpad=1)
    axes = figure.add_subplot(outer[1])
    bins = np.linspace(0, max(values.max() for values in all_distances.values()), 50)
    for index, (name, values) in enumerate(all_distances.items()):
        look = {"color": series(index)["color"], "linestyle": "-" if index < 9 else "--"}
        label = f"{name}, median {np.median(values):.1f}"
        axes.hist(values, bins, histtype="step", density=True, label=label, **look)
    axes.set(xlabel="RMS distance to the nearest training image (grey levels)", ylabel="density")
    return legend_below(figure)


@dataclass(frozen=True)
class Panel:
    """Images inpainted with one kind of mask.

    Attributes:
        title: what the mask is called.
        originals: uint8, (n, c, H, W).
        hidden: bool, True where hidden, (n, 1, H, W).
        rows: [(name, uint8 (n, c, H, W)), ...] of results, the same names in every panel.
    """

    title: str
    originals: np.ndarray
    hidden: np.ndarray
    rows: Sequence[tuple[str, np.ndarray]]


def hatch(axes: Axes, hidden: np.ndarray) -> None:
    """Cover the hidden pixels, bool (H, W), of a drawn image with grey hatching."""
    row, column = np.nonzero(hidden)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) - 0.5
    squares = np.stack([column, row], axis=1)[:, None] + corners
    look = {"facecolor": "0.6", "edgecolor": "0.85", "linewidth": 0, "hatch": "//////", "antialiased": False}
    axes.add_collection(PolyCollection(squares, **look))


def inpainting(panels: Sequence[Panel]) -> Figure:
    """Draw originals, what is known of them, and every sampler's results below; one panel a kind of mask."""
    lines = 2 + len(panels[0].rows)
    widths = [len(panel.originals) for panel in panels]
    columns = sum(widths) + 0.3 * (len(panels) - 1)  # with the gaps between panels
    side = min(0.6, (PAGE_WIDTH - 1.4) / columns)  # names take the rest
    figure = plt.figure(figsize=(side * columns, side * lines))
    sides = {"left": 0, "right": 1, "bottom": 0, "top": 1}
    outer = figure.add_gridspec(1, len(panels), width_ratios=widths, wspace=0.06, **sides)
    for position, panel in enumerate(panels):
        grid = outer[position].subgridspec(lines, widths[position], wspace=0.05, hspace=0.05)
        rows = [("original", panel.originals), ("hidden", panel.originals), *panel.rows]
        for line, (name, images) in enumerate(rows):
            row = _image_row(figure, grid, line, name if position == 0 else "", images)
            if line == 0:
                row[len(row) // 2].set_title(panel.title, fontsize=7, pad=3)
            if line == 1:
                for axes, hidden in zip(row, panel.hidden, strict=True):
                    hatch(axes, hidden[0])
    return figure


def class_editing(
    originals: np.ndarray,
    labels: Sequence[int],
    edited: Mapping[str, np.ndarray],
    classes: Sequence[str],
) -> Figure:
    """Draw every image beside itself as each class, one row a sampler; its own class is framed.

    Args:
        originals: uint8, (n, c, H, W).
        labels: their class ids, (n,).
        edited: by sampler, uint8, (n, n_classes, c, H, W).
        classes: names of the classes.
    """
    columns, lines, n = 1 + len(classes), len(edited), len(originals)
    side = min(0.55, (PAGE_WIDTH - 1.4) / columns)  # names take the rest
    figure = plt.figure(figsize=(side * columns, side * (lines * n + 0.25 * (n - 1))))
    outer = figure.add_gridspec(n, 1, left=0, right=1, bottom=0, top=1, hspace=0.06)
    for i, original in enumerate(originals):
        grid = outer[i].subgridspec(lines, columns, wspace=0.05, hspace=0.05)
        for line, (name, images) in enumerate(edited.items()):
            row = _image_row(figure, grid, line, name, np.concatenate([original[None], images[i]]))
            for axes, title in zip(row, ["original", *classes] if i == line == 0 else (), strict=False):
                axes.set_title(title, **ASLANT)
            row[1 + labels[i]].spines[:].set(visible=True, color=OWN_CLASS, linewidth=1.5)
    return figure
