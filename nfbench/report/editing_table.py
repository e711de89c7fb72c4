"""The table of edited images: one row per task, mask and sampler, means and spreads over seeds."""

from typing import Any

import pandas as pd

from nfbench.report.tables import mean, spread

AVERAGED = (
    *("kept_mse", "kept_mse_median", "kept_mse_pasted", "hidden_mse", "hidden_mse_median"),
    *("label_accuracy", "label_accuracy_pasted", "kept_class_share"),
)
BESIDE = ("kept_mse_other", "hidden_mse_other", "label_accuracy_real")  # what to read them against
COLUMNS = (
    *("experiment", "task", "mask", "sampler"),
    *(column for score in AVERAGED for column in (score, f"{score}_std")),
    *BESIDE,
    *("leak", "non_finite", "n", "seeds", "notes", "device", "precision", "commit"),
)


def editing_table(experiment: str, measured: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows of one experiment, in the order in which the first seed has them, by task and mask.

    Args:
        measured: of measure_editing, one a seed.

    A score that a seed does not have is empty, with the reason in `notes`; `leak` is the largest over
    seeds, `n` the images of every seed.
    """
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for result in measured:
        for row in result["rows"]:
            key = (row["task"], row["mask"], row["sampler"])
            groups.setdefault(key, []).append(row | {"provenance": result["provenance"]})
    masks = list(dict.fromkeys((task, mask) for task, mask, _ in groups))
    ordered = sorted(groups.items(), key=lambda item: masks.index(item[0][:2]))
    rows = [{"experiment": experiment, **_row(runs)} for _, runs in ordered]
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def _row(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Join one sampler's results with one mask over seeds."""
    scores = {name: [run[name] for run in runs] for name in AVERAGED}
    leaks = [run["leak"] for run in runs]
    return {
        **{name: runs[0][name] for name in ("task", "mask", "sampler", "n")},
        **{name: mean(values) for name, values in scores.items()},
        **{f"{name}_std": spread(values) for name, values in scores.items()},
        **{name: mean([run.get(name) for run in runs]) for name in BESIDE},
        "leak": None if None in leaks else max(leaks),
        "non_finite": sum(run["non_finite"] for run in runs),
        "seeds": " ".join(str(run["seed"]) for run in runs),
        "notes": "; ".join(_distinct(run["reason"] for run in runs)),
        "device": "; ".join(_distinct(run["provenance"]["device"] for run in runs)),
        "precision": "; ".join(_distinct(run["provenance"]["precision"] for run in runs)),
        "commit": " ".join(_distinct(run["provenance"]["commit"] for run in runs)),
    }


def _distinct(values: Any) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))
