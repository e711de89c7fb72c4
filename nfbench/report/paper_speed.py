"""The table of speeds at the paper's sizes; a cell that was not measured is empty."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from nfbench.sample.sampler import entry

CELL = ["size", "batch_size", "guidance"]  # what rows are compared within
COLUMNS = [
    *("experiment", "sampler", "size", "width", "params_millions", "batch_size", "guidance"),
    *("device", "precision", "execution"),
    *("seconds_per_image", "seconds_per_image_q1", "seconds_per_image_q3", "images_per_second"),
    *("speedup", "speedup_baseline", "peak_memory_gib", "gflops_per_image", "utilisation", "matmul_tflops"),
    *("rounds", "warm_up_stable", "busy", "note", "torch", "commit"),
]
SHOWN = {
    "size": "size",
    "width": "width",
    "sampler": "sampler",
    "execution": "execution",
    "batch_size": "batch",
    "guidance": "w",
    "seconds_per_image": "s an image",
    "images_per_second": "images/s",
    "speedup": "speed-up",
    "peak_memory_gib": "peak GiB",
    "gflops_per_image": "GFLOPs an image",
    "utilisation": "utilisation",
    "busy": "busy",
    "note": "note",
}


def speed_table(experiment: str, measured: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return one row per sampler, size, batch size, scale of guidance and execution, COLUMNS wide.

    `speedup` is over the fastest exact inverse of the same size, batch size and guidance in the table, which
    `speedup_baseline` names; samplers must be registered, as the registry knows which are exact.

    Args:
        measured: what `measure_paper_speed` wrote, one each for a sampler and a size.
    """
    rows = []
    for file in measured:
        about = file["provenance"]
        origin = {"device": about["device"], "torch": about["versions"]["torch"], "commit": about["commit"]}
        rows += [
            {"experiment": experiment, "matmul_tflops": file["matmul_tflops"]} | origin | row
            for row in file["rows"]
        ]
    table = pd.DataFrame(rows)
    is_exact = table["sampler"].map(lambda name: entry(name).exact)
    exact = table[is_exact & table["seconds_per_image"].notna()]
    fastest = exact.sort_values("seconds_per_image").groupby(CELL, as_index=False).first()
    baseline = fastest[[*CELL, "sampler", "seconds_per_image"]].rename(
        columns={"sampler": "speedup_baseline", "seconds_per_image": "baseline_seconds"}
    )
    table = table.merge(baseline, on=CELL, how="left")
    table["speedup"] = table["baseline_seconds"] / table["seconds_per_image"]
    return table.reindex(columns=COLUMNS)


def markdown(table: pd.DataFrame) -> str:
    """Return the columns that are read most, and what they mean."""
    lines = [list(SHOWN.values()), ["---"] * len(SHOWN)]
    lines += [[_shown(row[column]) for column in SHOWN] for _, row in table.iterrows()]
    cells = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    devices = ", ".join(dict.fromkeys(table["device"]))
    precisions = ", ".join(dict.fromkeys(table["precision"]))
    return (
        f"{cells}\n\n"
        f"{devices}, {precisions}. Random weights. Medians over warm, synchronised calls. Speed-up:\n"
        "over the fastest exact inverse of the same size, batch and scale of guidance w. Utilisation:\n"
        "the FLOPs that the computation needs a second, as a share of what a large product of matrices\n"
        "reaches in the same process. Busy: other processes disturbed it. An empty cell was not measured.\n"
    )


def _shown(value: Any) -> str:
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, str | bool):
        return {True: "yes", False: "no"}.get(value, value)
    return f"{value:.4g}"
