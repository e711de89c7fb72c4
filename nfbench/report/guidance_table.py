"""The table of guidance: one row per contestant and scale, means and spreads over seeds."""

from typing import Any

import pandas as pd

from nfbench.report.comparisons import compare
from nfbench.report.tables import distinct, mean, spread


def guidance_table(experiment: str, measured: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows of one experiment, in the order in which the first seed has them.

    Beside every measure stands how far it is from the same contestant's without guidance, and p of a paired
    t-test over seeds (`nfbench.report.comparisons.compare`). A cell that a seed does not have is empty.

    Args:
        measured: of measure_guidance, one a seed.
    """
    runs: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for one in measured:
        for row in one["rows"]:
            runs.setdefault((row["contestant"], row["scale"]), []).append(row | {"seed": one["seed"]})
    measures = [*(f"fd_{space}" for space in measured[0]["spaces"]), "label_accuracy"]
    floors = {name: mean([one["floor"][name] for one in measured]) for name in measures}
    made = [one["provenance"] for one in measured]
    about = {
        "n_samples": measured[0]["n"],
        "seeds": " ".join(str(one["seed"]) for one in measured),
        **{key: "; ".join(distinct(origin[key] for origin in made)) for key in ("device", "precision")},
        "commit": " ".join(distinct(origin["commit"] for origin in made)),
    }
    rows = []
    for (contestant, scale), of_scale in runs.items():
        row: dict[str, Any] = {"experiment": experiment, "contestant": contestant, "scale": scale}
        for name in measures:
            unguided = [run[name] for run in runs.get((contestant, 0), [])] if scale else []
            row |= _cells(name, [run[name] for run in of_scale], unguided, floors[name])
        row |= {key: mean([run[key] for run in of_scale]) for key in ("nfe", "score_evaluations")}
        row |= {key: sum(run[key] for run in of_scale) for key in ("non_finite", "clipped")}
        rows.append(row | about)
    return pd.DataFrame(rows)


def _cells(
    name: str, values: list[float | None], unguided: list[float | None], floor: float | None
) -> dict[str, float | None]:
    found = compare(values, unguided) if len(unguided) == len(values) else None
    return {
        name: mean(values),
        f"{name}_std": spread(values),
        f"{name}_floor": floor,
        f"effect_{name}": found and found.mean,
        f"p_{name}": found and found.p,
    }
