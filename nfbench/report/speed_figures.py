"""Figures of the protocol of speed."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from nfbench.report.figures import log_axis
from nfbench.report.speedups import label, method_of
from nfbench.report.style import PAGE_WIDTH, series

DASHES = {"clean": "-", "noisy": "--"}


def speedup_against_batch(rows: pd.DataFrame) -> Figure:
    """Draw the speed-up over the fastest exact inverse against the batch size, a panel a scale of guidance.

    Args:
        rows: of one experiment's table of speed, see `nfbench.report.speed_table`. Missing cells leave gaps.
    """
    measured = rows.dropna(subset=["speedup"])
    scales = sorted(measured["guidance"].unique())
    methods = list(dict.fromkeys(method_of(row) for _, row in measured.iterrows()))
    panels = max(1, len(scales))
    size = (PAGE_WIDTH * 0.5 * panels, 2.7)
    figure, grid = plt.subplots(1, panels, figsize=size, squeeze=False, sharey=True)
    for axes, scale in zip(grid[0], scales, strict=False):
        _panel(axes, rows[rows["guidance"] == scale], methods)
        axes.set_title(f"guidance {scale:g}" if scale else "no guidance")
    grid[0, 0].set_ylabel("speed-up over the fastest exact inverse")
    figure.tight_layout()
    # A sampler that cannot be guided is in one panel alone.
    entries = [axes.get_legend_handles_labels() for axes in grid[0]]
    named = {name: handle for found in entries for handle, name in zip(*found, strict=True)}
    figure.legend(named.values(), named, loc="upper center", ncol=3, bbox_to_anchor=(0.5, 0.0))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, methods: list[str]) -> None:
    sizes = sorted(rows["batch_size"].unique())
    rows = rows.assign(variant=rows["variant"].where(rows["variant"].notna(), ""))
    groups = list(rows.groupby(["sampler", "variant"], sort=False))
    for index, (_, of_sampler) in enumerate(groups):
        of_sampler = of_sampler.set_index("batch_size").reindex(sizes)
        if of_sampler["speedup"].isna().all():
            continue
        row = of_sampler.dropna(subset=["sampler"]).iloc[0]
        spread = [
            (of_sampler["speedup"] - of_sampler["speedup_low"]).fillna(0.0),
            (of_sampler["speedup_high"] - of_sampler["speedup"]).fillna(0.0),
        ]
        # Set apart sideways, so that the bars of neighbours can be told from each other.
        shift = 1.03 ** (index - (len(groups) - 1) / 2)
        axes.errorbar(
            [size * shift for size in sizes],
            of_sampler["speedup"],
            yerr=spread,
            linestyle=DASHES[row["output"]],
            linewidth=1,
            elinewidth=0.7,
            capsize=1.5,
            label=label(row),
            # Hollow: noisy output. Black edge: a tuned threshold.
            markerfacecolor=None if row["output"] == "clean" else "white",
            **series(methods.index(method_of(row))),
            **({"markeredgecolor": "black"} if row["variant"] == "tuned" else {}),
        )
    axes.axhline(1.0, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    log_axis(axes.yaxis)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("batch size (images)")
