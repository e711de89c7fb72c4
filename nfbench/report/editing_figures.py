"""Pictures of edited images: inpainting, and one image shown as every class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from nfbench.report.figures import show_image
from nfbench.report.style import PAGE_WIDTH

OWN_CLASS = "#D55E00"
NAME_WIDTH = 1.4  # inches that the rows' names take


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


def show_masked(axes: Axes, image: np.ndarray, hidden: np.ndarray) -> None:
    """Draw one uint8 image (c, H, W) with its hidden pixels, bool (H, W), grey and hatched."""
    show_image(axes, image)
    row, column = np.nonzero(hidden)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) - 0.5
    squares = np.stack([column, row], axis=1)[:, None] + corners
    look = {"facecolor": "0.6", "edgecolor": "0.85", "linewidth": 0, "hatch": "//////", "antialiased": False}
    axes.add_collection(PolyCollection(squares, **look))


def inpainting(panels: Sequence[Panel]) -> Figure:
    """Draw originals, what is known of them, and every sampler's results below; one panel a kind of mask."""
    names = ["original", "hidden", *(name for name, _ in panels[0].rows)]
    widths = [len(panel.originals) for panel in panels]
    columns = sum(widths) + 0.3 * (len(panels) - 1)  # with the gaps between panels
    side = min(0.6, (PAGE_WIDTH - NAME_WIDTH) / columns)
    figure = plt.figure(figsize=(side * columns, side * len(names)))
    outer = figure.add_gridspec(
        1, len(panels), width_ratios=widths, left=0, right=1, bottom=0, top=1, wspace=0.06
    )
    for position, panel in enumerate(panels):
        grid = outer[position].subgridspec(len(names), widths[position], wspace=0.05, hspace=0.05)
        _inpainting_panel(figure, grid, panel, names if position == 0 else [""] * len(names))
    return figure


def _inpainting_panel(figure: Figure, grid, panel: Panel, names: Sequence[str]) -> None:
    lines = [panel.originals, panel.originals, *(images for _, images in panel.rows)]
    for line, images in enumerate(lines):
        for column, image in enumerate(images):
            axes = figure.add_subplot(grid[line, column])
            if line == 1:
                show_masked(axes, image, panel.hidden[column, 0])
            else:
                show_image(axes, image)
            if line == 0 and column == len(images) // 2:
                axes.set_title(panel.title, fontsize=7, pad=3)
            if column == 0:
                _name_row(axes, names[line])


def class_editing(
    originals: np.ndarray,
    labels: Sequence[int],
    edited: dict[str, np.ndarray],
    classes: Sequence[str],
) -> Figure:
    """Draw every image beside itself as each class, one row a sampler; its own class is framed.

    Args:
        originals: uint8, (n, c, H, W).
        labels: their class ids, (n,).
        edited: by sampler, uint8, (n, n_classes, c, H, W).
        classes: names of the classes.
    """
    columns, lines = 1 + len(classes), len(edited)
    side = min(0.55, (PAGE_WIDTH - NAME_WIDTH) / columns)
    height = lines * len(originals) + 0.25 * (len(originals) - 1)
    figure = plt.figure(figsize=(side * columns, side * height))
    outer = figure.add_gridspec(len(originals), 1, left=0, right=1, bottom=0, top=1, hspace=0.06)
    for i, original in enumerate(originals):
        grid = outer[i].subgridspec(lines, columns, wspace=0.05, hspace=0.05)
        for line, (name, images) in enumerate(edited.items()):
            titles = ["original", *classes] if i == line == 0 else [""] * columns
            row = [figure.add_subplot(grid[line, column]) for column in range(columns)]
            _class_row(row, name, original, images[i], labels[i], titles)
    return figure


def _class_row(
    row: Sequence[Axes],
    name: str,
    original: np.ndarray,
    images: np.ndarray,
    own: int,
    titles: Sequence[str],
) -> None:
    for axes, image, title in zip(row, [original, *images], titles, strict=True):
        show_image(axes, image)
        axes.set_title(title, fontsize=6, pad=2, rotation=40, ha="left", va="bottom", x=0.3)
    _name_row(row[0], name)
    frame(row[1 + own])


def frame(axes: Axes) -> None:
    """Draw a coloured frame around an image."""
    for spine in axes.spines.values():
        spine.set(visible=True, color=OWN_CLASS, linewidth=1.5)


def _name_row(axes: Axes, name: str) -> None:
    axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
