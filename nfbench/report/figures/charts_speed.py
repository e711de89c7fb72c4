"""Charts of speed: speed-ups, tolerances and iterations of iterative inverses, and training time."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from nfbench.report.derived import OVER_EXACT
from nfbench.report.figures.measured import Measured, Row, error_bar, is_tuned, looks
from nfbench.report.figures.style import REAL, SPACE_TITLES, finish, log_axis, panels, series
from nfbench.stats import between

ROUNDING_MSE = 1e-12  # the order of smaller errors is a matter of rounding; they are drawn here
LINES = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # of exact inverses


def speedup(measured: Measured) -> Figure:
    """Draw the speed-up over the fastest exact inverse against the batch size, a panel a guidance scale."""
    rows = measured.rows()
    found = [record for row in rows for record in measured.records(row["name"], OVER_EXACT)]
    scales = sorted({record["guidance"] for record in found if record["value"] == record["value"]})
    figure, grid = panels(len(scales), share_y=True)
    for axes, scale in zip(grid, scales, strict=False):
        _speedup_panel(axes, measured, scale)
        axes.set_title(f"guidance {scale:g}" if scale else "no guidance")
    grid[0].set_ylabel("speed-up over the fastest exact inverse")
    return finish(figure)


def _speedup_panel(axes: Axes, measured: Measured, scale: float) -> None:
    sizes, timed = measured.batch_sizes(), [row for row in measured.rows() if row["speed"]]
    timed = [row for row in timed if row["sweep"] in ("", "step")] or timed
    styles = looks(timed)
    for index, row in enumerate(timed):
        cells = [measured.cell(row, OVER_EXACT, batch_size=size, guidance=scale).inverse() for size in sizes]
        if all(cell.value is None for cell in cells):
            continue
        values = np.array([cell.value for cell in cells], dtype=float)
        bars = np.concatenate([error_bar(cell) for cell in cells], axis=1)
        look = {"linestyle": "--" if row["output"] == "noisy" else "-", "linewidth": 1, "capsize": 1.5}
        look |= {"label": row["name"], "elinewidth": 0.7} | styles[row["name"]]
        # Set apart sideways, so that the bars of neighbours can be told from each other.
        shift = 1.03 ** (index - (len(timed) - 1) / 2)
        axes.errorbar([size * shift for size in sizes], values, bars, **look)
    axes.axhline(1.0, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    log_axis(axes.yaxis)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("batch size (images)")


def tolerance(measured: Measured) -> Figure:
    """Draw milliseconds an image of iterative inverses against their inversion MSE, a panel a batch size."""
    sizes = measured.batch_sizes()
    figure, grid = panels(len(sizes))
    for axes, size in zip(grid, sizes, strict=False):
        _tolerance_panel(axes, measured, size)
        axes.set(xlabel="inversion MSE", title=f"batch {size}")
    grid[0].set_ylabel("time per image (ms)")
    return finish(figure)


def _tolerance_panel(axes: Axes, measured: Measured, size: int) -> None:
    """Draw a line for every group of tolerances or numbers of iterations, and one for every exact inverse."""
    groups: dict[str, list[Row]] = {}
    for row in measured.rows(iterative=True, speed=True):
        groups.setdefault(row["name"] if is_tuned(row) else row["group"], []).append(row)
    types = list(dict.fromkeys(rows[0]["type"] for rows in groups.values()))
    for label, rows in groups.items():
        points = [(measured.cell(row, "inversion_mse").value, measured.time(row, size)) for row in rows]
        points = [(error, time) for error, time in points if error is not None and time.value is not None]
        if not points:
            continue
        points.sort(key=lambda point: point[0])
        bars = np.concatenate([error_bar(time) for _, time in points], axis=1)
        x, y = [max(error, ROUNDING_MSE) for error, _ in points], [time.value for _, time in points]
        axes.errorbar(x, y, bars, label=label, elinewidth=0.6, **_look(rows, types))
    for row, dashes in zip(measured.rows(exact=True, speed=True), LINES * 9, strict=False):
        if (value := measured.time(row, size).value) is not None:
            color = "0.3" if row["output"] == "clean" else "0.6"
            axes.axhline(value, color=color, linewidth=0.8, linestyle=dashes, label=row["name"])
    log_axis(axes.yaxis)
    axes.set_xscale("log")


def _look(rows: list[Row], types: list[str]) -> dict[str, Any]:
    """Return a series' look: the colour of its type, hollow for noisy images.

    A cross for a tuned tolerance, a star for an inverse as published.
    """
    style, first = series(types.index(rows[0]["type"])), rows[0]
    look = style | {"markersize": 4, "linestyle": ":" if "max_iterations" in first["options"] else "-"}
    look |= {"markerfacecolor": "white" if first["output"] == "noisy" else style["color"], "linewidth": 1}
    if is_tuned(first) or not first["options"]:
        look |= {"linestyle": "none", "markersize": 7, "marker": "X" if is_tuned(first) else "*"}
        if first["output"] == "clean":
            look |= {"markeredgecolor": "black", "markeredgewidth": 0.6}
    return look


def iterations(measured: Measured) -> Figure:
    """Draw the fixed-point iterations of every block, beside how hard the blocks were predicted to be."""
    iterative = measured.rows(iterative=True)
    shown = [row for row in iterative if not row["sweep"]] or iterative
    types = list(dict.fromkeys(row["type"] for row in shown))
    flow = shown[0]["flow"]
    crm, hardness = (_blocks(measured, flow, f"block_{name}_percent_") for name in ("crm", "hardness"))
    figure, grid = panels(2 if len(crm) else 1)
    drawn = set()
    for row in shown:
        values = _blocks(measured, row["name"], "iterations_block")
        if len(values) and (row["type"], *values.round(9)) not in drawn:  # denoising changes none
            drawn.add((row["type"], *values.round(9)))
            look = {"markerfacecolor": "white", "linestyle": "--"} if is_tuned(row) else {}
            grid[0].plot(values, label=row["name"], **series(types.index(row["type"])), **look)
    log_axis(grid[0].yaxis)
    grid[0].set(ylabel="iterations", title="iterations until converged")
    if len(crm):
        _difficulty_panel(grid[1], crm, hardness)
    n = max((len(line.get_xdata()) for line in grid[0].lines), default=0) or len(crm)
    for axes in grid:
        names = [str(block) for block in range(n)]
        if n > 1:
            names[0], names[-1] = "0\n(data)", f"{n - 1}\n(noise)"
        axes.set_xticks(range(n), names)
        axes.set_xlabel("flow block")
    return finish(figure)


def _blocks(measured: Measured, sampler: str, prefix: str) -> np.ndarray:
    """Return a metric's means over seeds by block, data side first."""
    names = measured.cells.metrics(measured.key, sampler, prefix)
    cells = [measured.cells.cell(measured.key, sampler, name) for name in names]
    return np.array([cell.value for cell in cells], dtype=float)


def _difficulty_panel(axes: Axes, crm: np.ndarray, hardness: np.ndarray) -> None:
    blocks, width = np.arange(len(crm)), 0.38
    axes.bar(blocks - width / 2, crm, width, color="0.75", label="CRM")
    axes.bar(blocks + width / 2, hardness, width, color="0.35", label="CRM × smaller IGM")
    axes.set(ylabel="share of all blocks (%)", title="predicted from training images")


def training_time(measured: Measured) -> Figure:
    """Draw the Frechet distance against the seconds of reverse training, a panel a feature space."""
    figure, grid = panels(len(measured.spaces), height=2.8)
    for axes, space in zip(grid, measured.spaces, strict=True):
        against_training_time(axes, measured, space)
        axes.set(xlabel="training time of the reverse (s)", title=SPACE_TITLES[space])
        log_axis(axes.yaxis)
    grid[0].set_ylabel("Fréchet distance")
    return finish(figure)


def against_training_time(axes: Axes, measured: Measured, space: str) -> None:
    """Draw one feature space; a dashed curve's loss has seen these features, and it is no fair comparison.

    The exact inverse is drawn at the same total time: where a reverse has trained for s seconds, a flow has
    trained for those s seconds more than the reverse's own flow.
    """
    groups: dict[str, list[Row]] = {}
    for row in measured.rows(sweep="step", learned=True):
        groups.setdefault(row["group"], []).append(row)
    longest = 0.0
    for index, (group, rows) in enumerate(groups.items()):
        cells = [measured.cell(row, "fd", space=space) for row in rows]
        seconds = np.array([_seconds(measured, row) for row in rows], dtype=float)
        if all(cell.value is None for cell in cells):
            continue
        longest = max(longest, np.nan_to_num(seconds).max())
        seen = any(cell.flag == "seen_by_loss" for cell in cells)
        values = np.array([cell.value for cell in cells], dtype=float)
        look = {"linestyle": "--" if seen else "-", "markersize": 3}
        axes.plot(seconds, values, label=group, **look, **series(index))
    _exact_at_equal_time(axes, measured, space, groups, longest)
    if (value := measured.real("fd", space)) is not None:
        axes.axhline(value, **REAL)


def _seconds(measured: Measured, row: Row) -> float | None:
    return measured.cells.of_model(measured.key, row["reverse"], "train_seconds", row["step"]).value


def _exact_at_equal_time(
    axes: Axes, measured: Measured, space: str, groups: dict[str, list[Row]], longest: float
) -> None:
    """Draw the exact inverse of flows trained for as long in all, half of it, and the flows measured."""
    totals = [
        (row, measured.cell(row, "total_train_seconds").value) for rows in groups.values() for row in rows
    ]
    row, total = next(((row, total) for row, total in totals if total is not None), (None, None))
    if row is None:
        return
    offset = total - _seconds(measured, row)  # seconds of the reverse's own flow
    per_step = offset / measured.cells.of_model(measured.key, row["flow"], "train_steps").value
    flows = {}
    for exact in measured.rows(exact=True, output="clean", guidance=0.0):
        steps = measured.cells.of_model(measured.key, exact["flow"], "train_steps", exact["step"]).value
        distance = measured.cell(exact, "fd", space=space).value
        if steps is not None and distance is not None:
            flows.setdefault(steps * per_step, distance)
    times, values = np.array(list(flows)), np.array(list(flows.values()))
    seconds = np.linspace(0, longest, 200)
    line = between(seconds + offset, times, values)
    axes.plot(seconds, line, color="0.3", linewidth=1.6, label="exact inverse, equal total time")
    axes.plot(times - offset, values, "s", color="0.3", markersize=4, label="flows measured")
    axes.plot(seconds, line / 2, color="0.3", linewidth=0.8, linestyle=":", label="half its distance")
    axes.set_xlim(left=-0.03 * longest)
