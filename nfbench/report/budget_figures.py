"""The figure of the budget: quality against training time, arms against the exact inverse."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nfbench.power_law import between
from nfbench.report.figures import SPACE_TITLES, log_axis
from nfbench.report.style import PAGE_WIDTH, series


def budget_figure(
    arms: pd.DataFrame, flow: pd.DataFrame, spaces: Sequence[str], floors: Mapping[str, float]
) -> Figure:
    """Draw the Frechet distance against the seconds of reverse training, one panel a feature space.

    Args:
        arms: rows of arm, seconds, total_seconds, seen_spaces and fd_{space}.
        flow: rows of total_seconds and fd_{space}: flows at the end of their schedules, denoised.
        floors: {fd_{space}: that of as many real images}.
    """
    figure, grid = plt.subplots(1, len(spaces), figsize=(PAGE_WIDTH, 2.8), squeeze=False)
    for axes, space in zip(grid[0], spaces, strict=True):
        against_time(axes, arms, flow, space)
        axes.axhline(floors[f"fd_{space}"], color="0.6", linewidth=0.8, label="real images")
        axes.set_title(SPACE_TITLES[space])
    grid[0, 0].set_ylabel("Fréchet distance")
    figure.tight_layout()
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncol=3, bbox_to_anchor=(0.5, 0.0))
    return figure


def against_time(axes: Axes, arms: pd.DataFrame, flow: pd.DataFrame, space: str) -> None:
    """Draw one feature space; a dashed curve's loss has seen these features, and is no fair judge of it.

    The exact inverse is drawn at the same total time: where an arm has trained s seconds, a flow has
    trained for those s seconds more than the arms' own. Squares mark the flows that were measured. Below
    it, at half its distance, a dotted line.
    """
    measure, offset = f"fd_{space}", float((arms["total_seconds"] - arms["seconds"]).iloc[0])
    for index, (arm, rows) in enumerate(arms.groupby("arm", sort=False)):
        seen = space in str(rows["seen_spaces"].iloc[0]).split()
        axes.plot(
            rows["seconds"],
            rows[measure],
            label=arm,
            linestyle="--" if seen else "-",
            markersize=3,
            **series(index),
        )
    seconds = np.linspace(0, arms["seconds"].max(), 200)
    line = between(seconds + offset, flow["total_seconds"], flow[measure])
    label = "exact inverse, denoised, at the same total time"
    axes.plot(seconds, line, color="0.3", linewidth=1.6, label=label)
    measured = flow["total_seconds"] - offset
    axes.plot(measured, flow[measure], "s", color="0.3", markersize=4, label="flows measured")
    axes.plot(seconds, line / 2, color="0.3", linewidth=0.8, linestyle=":", label="half of it")
    axes.set_xlabel("seconds of reverse training")
    log_axis(axes.yaxis)
