"""The figure of guidance: quality and label accuracy against its scale."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nfbench.report.figures import log_axis
from nfbench.report.style import PAGE_WIDTH, series

NO_VERDICT = "\n(n under twice the features: no verdict)"


def quality_against_guidance(rows: pd.DataFrame, floors: pd.DataFrame, spaces: dict[str, str]) -> Figure:
    """Draw the Frechet distance against the scale, one panel a feature space, and the label accuracy.

    Args:
        rows: of `measure_guidance`: contestant, seed, scale, fd_{space}, label_accuracy.
        floors: the same measures of real images, one row a seed.
        spaces: {space: its title}.
    """
    panels = {f"fd_{space}": title for space, title in spaces.items()} | {"label_accuracy": "label accuracy"}
    n = len(panels)
    figure, grid = plt.subplots(1, n, figsize=(PAGE_WIDTH * max(0.7, n / 3), 2.4), squeeze=False)
    for axes, (measure, title) in zip(grid[0], panels.items(), strict=True):
        against_scale(axes, rows, floors, measure)
        axes.set_title(title)
        if measure == "label_accuracy":
            axes.set_ylabel("share found by the classifier")
        else:
            axes.set_ylabel("Fréchet distance")
            log_axis(axes.yaxis)
    figure.tight_layout()
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncol=3, bbox_to_anchor=(0.5, 0.0))
    return figure


def against_scale(axes: Axes, rows: pd.DataFrame, floors: pd.DataFrame, measure: str) -> None:
    """Draw one measure: a line a contestant, its mean over seeds, and a band of one standard deviation.

    A scale at which a seed has no value is left out, rather than given the others' mean.
    """
    for index, (name, of_contestant) in enumerate(rows.groupby("contestant", sort=False)):
        per_seed = of_contestant.pivot(index="scale", columns="seed", values=measure).astype(float)
        mean = per_seed.mean(axis=1, skipna=False)
        style = series(index)
        axes.plot(mean.index, mean, label=name, **style)
        if per_seed.shape[1] > 1:
            spread = per_seed.std(axis=1, skipna=False)
            axes.fill_between(
                mean.index, mean - spread, mean + spread, color=style["color"], alpha=0.2, linewidth=0
            )
    floor = floors[measure].astype(float)
    axes.axhline(floor.mean(skipna=False), color="0.3", linewidth=0.8, linestyle="--", label="real images")
    axes.set_xlabel("guidance scale $w$")
