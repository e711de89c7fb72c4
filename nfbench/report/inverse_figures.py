"""Figures of the inverses that need no training: speed against error, and which blocks are hard."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nfbench.report.figures import log_axis
from nfbench.report.style import PAGE_WIDTH, series

MARKS = {"published": ("*", 9), "tuned": ("X", 7)}


def speed_error_front(rows: pd.DataFrame) -> Figure:
    """Draw milliseconds an image against inversion MSE, one panel a batch size.

    Args:
        rows: of `measure_front`: method, tau, max_sweeps, mark ("published", "tuned" or none), batch_size,
            ms_per_image with quartiles, inversion_mse; methods without tau are exact and drawn as lines.
    """
    sizes = sorted(rows["batch_size"].unique())
    figure, grid = plt.subplots(1, len(sizes), figsize=(PAGE_WIDTH * 0.5 * len(sizes), 2.7), squeeze=False)
    for axes, size in zip(grid[0], sizes, strict=True):
        _front_panel(axes, rows[rows["batch_size"] == size])
        axes.set_title(f"batch {size}")
    figure.tight_layout()
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncol=4, bbox_to_anchor=(0.5, 0.0))
    return figure


def _front_panel(axes: Axes, rows: pd.DataFrame) -> None:
    iterative = rows[rows["tau"].notna()]
    exact = rows[rows["tau"].isna()]
    # Rounding makes the order of the smallest errors a matter of luck; they are drawn at the edge.
    smallest = max(1e-12, float(iterative["inversion_mse"].min()))
    for index, (method, of_method) in enumerate(iterative.groupby("method", sort=False)):
        style = series(index)
        by_tau = of_method[of_method["max_sweeps"].isna()].sort_values("tau")
        by_sweeps = of_method[of_method["max_sweeps"].notna()].sort_values("max_sweeps")
        _line(axes, by_tau, smallest, style | {"label": f"{method}, tau", "linestyle": "-"})
        _line(axes, by_sweeps, smallest, style | {"label": f"{method}, sweeps", "linestyle": ":"})
        for mark, (marker, size) in MARKS.items():
            chosen = of_method[of_method["mark"] == mark]
            axes.plot(
                chosen["inversion_mse"].clip(lower=smallest),
                chosen["ms_per_image"],
                linestyle="none",
                marker=marker,
                markersize=size,
                color=style["color"],
                markeredgecolor="black",
                markeredgewidth=0.6,
                label=f"{mark} tau" if index == 0 else None,
            )
    for (_, row), dashes in zip(exact.iterrows(), ("--", "-."), strict=False):
        axes.axhline(row["ms_per_image"], color="0.3", linewidth=0.8, linestyle=dashes, label=row["method"])
    log_axis(axes.yaxis)
    axes.set_xscale("log")
    axes.set(xlabel="inversion MSE", ylabel="ms an image")


def _line(axes: Axes, rows: pd.DataFrame, smallest: float, style: dict) -> None:
    spread = np.abs(
        rows[["ms_per_image_q1", "ms_per_image_q3"]].to_numpy().T - rows["ms_per_image"].to_numpy()
    )
    axes.errorbar(
        rows["inversion_mse"].clip(lower=smallest),
        rows["ms_per_image"],
        yerr=spread,
        linewidth=1,
        elinewidth=0.6,
        **style | {"markersize": 3},
    )


def sweeps_per_block(rows: pd.DataFrame, difficulty: pd.DataFrame) -> Figure:
    """Draw the sweeps that every block takes beside the measures that foretell which are hard.

    Args:
        rows: of `measure_front`, one a method and mark; `sweeps` is per block, data side first.
        difficulty: crm_percent, igm_z, igm_zeros and hardness_percent of every block, data side first.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 2.4))
    blocks = np.arange(len(difficulty))
    for index, (method, of_method) in enumerate(rows.groupby("method", sort=False)):
        for _, row in of_method.iterrows():
            tuned = row["mark"] == "tuned"
            style = series(index) | ({"markerfacecolor": "white", "linestyle": "--"} if tuned else {})
            left.plot(blocks, row["sweeps"], label=f"{method}, tau {row['tau']:g} ({row['mark']})", **style)
    log_axis(left.yaxis)
    left.set(ylabel="sweeps", title="sweeps until converged, mean over images")
    width = 0.38
    right.bar(blocks - width / 2, difficulty["crm_percent"], width, color="0.75", label="CRM")
    right.bar(
        blocks + width / 2, difficulty["hardness_percent"], width, color="0.35", label="CRM × smaller IGM"
    )
    right.set(ylabel="share of all blocks (%)", title="foretold from training images")
    right.legend()
    for axes in (left, right):
        names = [str(block) for block in blocks]
        names[0], names[-1] = "0\n(data)", f"{blocks[-1]}\n(noise)"
        axes.set_xticks(blocks, names)
        axes.set_xlabel("flow block")
    figure.tight_layout()
    left.legend(loc="upper left", bbox_to_anchor=(0.0, -0.3), ncol=2)
    return figure
