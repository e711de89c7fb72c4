"""One look for every figure: page width, colours that survive greyscale and colour blindness."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from nfbench.files import atomic_path

PAGE_WIDTH = 6.9  # inches, both columns of a two-column paper

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
    """Return the colour and marker of the index-th series."""
    color, marker = _SERIES[index % len(_SERIES)]
    return {"color": color, "marker": marker}


def save(figure: Figure, png: str | Path, pdf: str | Path) -> None:
    """Write a figure as PNG and PDF, both whole or not at all, and close it."""
    for path in (png, pdf):
        with atomic_path(path) as temporary:
            # Without a creation date the same figure is the same file.
            metadata = {"CreationDate": None} if str(path).endswith(".pdf") else None
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.03, metadata=metadata)
    plt.close(figure)
