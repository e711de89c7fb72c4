"""The table of guidance: one row per contestant and scale, means and spreads over seeds."""

from typing import Any

import pandas as pd

from nfbench.report.comparisons import compare
from nfbench.report.spaces import space_of
from nfbench.report.tables import distinct, mean, spread

Run = dict[str, Any]  # a contestant at a scale and a seed, as measure_guidance writes it


def guidance_table(experiment: str, measured: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows of one experiment, in the order in which the first seed has them.

    Beside every measure stands how far it is from the same contestant's without guidance, and p of a paired
    t-test over seeds (`nfbench.report.comparisons.compare`). A cell that a seed does not have is empty, and
    so is p where the project draws no verdict: in features that the contestant's loss has seen, and of fewer
    images than twice the features, which the notes say.

    Args:
        measured: of measure_guidance, one a seed.
    """
    runs = {(row["contestant"], row["scale"], one["seed"]): row for one in measured for row in one["rows"]}
    seeds = [one["seed"] for one in measured]
    spaces = measured[0]["spaces"]
    measures = [*(f"fd_{space}" for space in spaces), "label_accuracy"]
    floors = {name: mean([one["floor"][name] for one in measured]) for name in measures}
    deficient = {
        f"fd_{space}": f"fd_{space}: n = {measured[0]['n']} is under twice the {facts['dim']} features, no p"
        for space, facts in spaces.items()
        if facts["rank_deficient"]
    }
    made = [one["provenance"] for one in measured]
    about = {
        "n_samples": measured[0]["n"],
        "seeds": " ".join(map(str, seeds)),
        "notes": "; ".join(deficient.values()),
        **{key: "; ".join(distinct(origin[key] for origin in made)) for key in ("device", "precision")},
        "commit": " ".join(distinct(origin["commit"] for origin in made)),
    }
    rows = []
    for contestant, scale in dict.fromkeys((contestant, scale) for contestant, scale, _ in runs):
        of_scale, unguided = ([runs.get((contestant, w, seed)) for seed in seeds] for w in (scale, 0))
        seen = sorted({space for run in of_scale if run for space in run["seen_spaces"]})
        row: dict[str, Any] = {"experiment": experiment, "contestant": contestant, "scale": scale}
        for name in measures:
            row |= _cells(name, of_scale, unguided if scale else [], floors[name])
            if name in deficient or space_of(name) in seen:
                row[f"p_{name}"] = None
        row["seen_spaces"] = " ".join(seen)
        row |= {key: mean(_column(of_scale, key)) for key in ("nfe", "score_evaluations")}
        row |= {key: sum(run[key] for run in of_scale if run) for key in ("non_finite", "clipped")}
        rows.append(row | about)
    return pd.DataFrame(rows)


def _column(runs: list[Run | None], key: str) -> list[Any]:
    return [run and run[key] for run in runs]


def _cells(
    name: str, of_scale: list[Run | None], unguided: list[Run | None], floor: float | None
) -> dict[str, float | None]:
    values = _column(of_scale, name)
    found = compare(values, _column(unguided, name)) if unguided else None
    return {
        name: mean(values),
        f"{name}_std": spread(values),
        f"{name}_floor": floor,
        f"effect_{name}": found and found.mean,
        f"p_{name}": found and found.p,
    }
