"""One look for every figure: page width, colours that survive greyscale and colour blindness."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nfbench.files import atomic_path

PAGE_WIDTH = 6.9  # inches, both columns of a two-column paper
SPACE_TITLES = {
    "effnet": "EfficientNet-Lite0 features",
    "classifier": "domain classifier features",
    "inception": "Inception-v3 features (FID)",
    "dinov2": "DINOv2 features",
}
REAL = {"color": "0.3", "linewidth": 0.8, "linestyle": "--", "label": "real images"}
REAL_NOISE = {"color": "0.6", "linewidth": 0.8, "linestyle": ":", "label": "real images + noise"}

# Okabe and Ito's palette in order of falling darkness, each with a marker of its own.
_SERIES = [
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
    ("#000000", "X"),
    ("#882255", "<"),
    ("#888888", ">"),
]

plt.rcParams.update(
    {
        "figure.dpi": 200,
        "savefig.dpi": 200,
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "lines.linewidth": 1.2,
        "lines.markersize": 4.5,
        "legend.frameon": False,
        "legend.fontsize": 7,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "pdf.fonttype": 42,
        "svg.hashsalt": "nfbench",
    }
)


def series(index: int) -> dict[str, str]:
    """Return the colour and marker of the index-th series; markers shift when the colours repeat."""
    n = len(_SERIES)
    return {"color": _SERIES[index % n][0], "marker": _SERIES[(index + index // n) % n][1]}


def panels(n: int, height: float = 2.6, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure with n panels beside each other, half a page wide each, at most one page in all."""
    width = PAGE_WIDTH * min(1.0, max(n, 1) / 2)
    figure, grid = plt.subplots(1, max(n, 1), figsize=(width, height), squeeze=False, sharey=share_y)
    return figure, list(grid[0])


def finish(figure: Figure) -> Figure:
    """Lay the panels out, say which are empty, and name the series of all of them below."""
    for axes in figure.axes:
        if not np.isfinite(axes.dataLim.get_points()).all():  # lines across a panel leave x infinite
            axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
            axes.set_xticks([])
    figure.tight_layout()
    return legend_below(figure)


def legend_below(figure: Figure) -> Figure:
    """Name the series of all panels, each once, below the figure."""
    named = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        letters = 14.5 * PAGE_WIDTH  # of the legend's font that fit side by side
        columns = max(1, min(4, len(named), int(letters / (max(map(len, named)) + 8))))
        legend = {"loc": "upper center", "ncol": columns, "bbox_to_anchor": (0.5, 0.0)}
        figure.legend(named.values(), named, **legend)
    return figure


def log_axis(axis: Axis) -> None:
    """Scale an axis logarithmically, where it has data, and label it with plain numbers: 1, 2, 5, 10, ..."""
    if not np.isfinite(axis.get_minpos()):
        return
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = sorted(axis.get_view_interval())
    wide = low > 0 and np.log10(high / low) > 2.5
    axis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, png: str | Path, pdf: str | Path) -> None:
    """Write a figure as PNG and PDF, both whole or not at all, and close it."""
    for path in (png, pdf):
        with atomic_path(path) as temporary:
            # Without a creation date the same figure is the same file.
            metadata = {"CreationDate": None} if str(path).endswith(".pdf") else None
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.03, metadata=metadata)
    plt.close(figure)
