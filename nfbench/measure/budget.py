"""Quality while a model is being trained: what a budget of training time buys."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from nfbench.files import read_json, write_json
from nfbench.measure.scores import Scores
from nfbench.power_law import between
from nfbench.provenance import provenance
from nfbench.sample.sample_set import SampleSet, draw, to_sample_set
from nfbench.sample.sampler import Sampler
from nfbench.train.resumable import Place

TOO_SHORT = "no flow has trained for as long: raise the last of budget.forward_steps"


def measure_while_training(
    sampler_of: Callable[[nn.Module], Sampler],
    *,
    seed: int,
    n: int,
    batch_size: int,
    device: torch.device,
    score: Callable[[SampleSet], Scores],
) -> Callable[[nn.Module], Scores]:
    """Return what a training loop evaluates: the quality of images 0..n-1 of a seed, from averaged weights.

    The loop leaves evaluations out of its clock, so that a curve's seconds are those of training alone.

    Args:
        sampler_of: makes the sampler of a model.
        score: what is to be measured of a sample set, e.g. `nfbench.measure.scores.scores`.
    """

    def measure(model: nn.Module) -> Scores:
        sampler = sampler_of(model)
        drawn = draw(sampler, seed=seed, n=n, batch_size=batch_size, device=device)
        samples = to_sample_set(drawn, {})
        return score(samples) | {"non_finite": samples.meta["non_finite"]}

    return measure


def write_curve(
    path: str | Path, curve: Sequence[dict[str, float]], place: Place, **told: str | float
) -> None:
    """Write a curve's rows as JSON, with the provenance and with what else is told of all its rows."""
    origin = provenance(place.device, place.precision)
    write_json(path, {"provenance": origin, "told": told, "curve": list(curve)})


def read_curve(path: str | Path) -> pd.DataFrame:
    """Read what `write_curve` wrote as a table, each row with device, precision and commit.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    kept = read_json(path)
    where = {name: kept["provenance"][name] for name in ("device", "precision", "commit")}
    return pd.DataFrame(kept["curve"]).assign(**kept["told"], **where)


def budget_table(
    flows: Sequence[str | Path], arms: Sequence[str | Path], floor: str | Path, spaces: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, Any]]]:
    """Join the curves, and tell when each arm passes the exact inverse, and half of its distance.

    Steps of the flow are charged the same seconds everywhere, the mean over all its trainings: on a machine
    whose clock is unsteady a line would else be shifted against the curves by the luck of one training.

    Args:
        flows: a row each, of flows at the end of their schedules, see `write_curve`: that of the learned
            reverses, and longer trained ones.
        arms: curves of the learned reverses, with the steps that their flow has trained for.
        floor: one row, of as many real images.
        spaces: feature spaces to tell it in.

    Returns:
        The flows' rows, the arms' rows, and a row for each space and arm.
    """
    flow = pd.concat([read_curve(path) for path in flows], ignore_index=True).sort_values("step")
    seconds_per_step = flow["seconds"].sum() / flow["step"].sum()
    flow["total_seconds"] = flow["step"] * seconds_per_step
    curves = pd.concat([read_curve(path) for path in arms], ignore_index=True)
    curves["total_seconds"] = curves["seconds"] + curves["flow_steps"] * seconds_per_step
    real = read_curve(floor).iloc[0]
    return flow, curves, [row for space in spaces for row in _against(flow, curves, real, space)]


def _against(flow: pd.DataFrame, curves: pd.DataFrame, real: pd.Series, space: str) -> list[dict[str, Any]]:
    """Return a row an arm: how its end compares at equal total time, and when it passed the exact inverse."""
    measure, rows = f"fd_{space}", []
    passed, halved = (crossings(curves, flow, measure, factor) for factor in (1.0, 0.5))
    for arm, curve in curves.groupby("arm", sort=False):
        last, total = curve[measure].iloc[-1], curve["total_seconds"].iloc[-1]
        exact = float(between(total, flow["total_seconds"], flow[measure]))
        rows.append(
            {
                "measure": measure,
                "arm": arm,
                "seen_by_its_loss": space in str(curve["seen_spaces"].iloc[0]).split(),
                "seconds": curve["seconds"].iloc[-1],
                "total_seconds": total,
                "distance": last,
                "exact_at_equal_total": exact,
                "ratio": last / exact,
                "floor": real[measure],
                "ratio_above_the_floor": (last - real[measure]) / (exact - real[measure]),
                "n_samples": real["n_samples"],
                "seconds_until_below_the_exact_inverse": passed[arm],
                "seconds_until_half_of_it": halved[arm],
                "notes": TOO_SHORT if total > flow["total_seconds"].max() else None,
            }
        )
    return rows


def crossings(
    curves: pd.DataFrame, flow: pd.DataFrame, measure: str, factor: float = 1.0
) -> dict[str, float | None]:
    """Return when each arm first has at most `factor` times the flow's distance at the same total time.

    Args:
        curves: rows of arm, seconds (of training the arm), total_seconds (and its flow), and the measure.
        flow: rows of total_seconds and the measure; between them it is a power law of the time, and beyond
            them not known, so that nothing passes it there.
        measure: a column, e.g. fd_effnet.

    Returns:
        {arm: seconds of its own training, None where it never is}. Read off the curve's rows, so the true
        time lies between that row and the one before.
    """
    found: dict[str, float | None] = {}
    for arm, rows in curves.groupby("arm", sort=False):
        bar = factor * between(rows["total_seconds"], flow["total_seconds"], flow[measure])
        below = rows.loc[rows[measure].to_numpy(dtype=float) <= bar, "seconds"]
        found[str(arm)] = None if below.empty else float(below.min())
    return found
