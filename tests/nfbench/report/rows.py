"""Hand-made measurement rows and experiments."""

import math

import pandas as pd

from nfbench.measurements import COLUMNS, NUMBERS, row
from nfbench.stats import mean_interval, paired

KEY = ("this run", "made")


def frame(*rows: dict) -> pd.DataFrame:
    """Return rows as `read_rows` does, of the experiment "made"."""
    empty = dict.fromkeys(COLUMNS, "") | dict.fromkeys(NUMBERS, math.nan)
    about = {"origin": KEY[0], "experiment": KEY[1], "device": "cpu", "precision": "fp32", "commit": "abc"}
    made = [empty | about | {k: math.nan if v is None else v for k, v in each.items()} for each in rows]
    return pd.DataFrame(made, columns=list(COLUMNS))


def quality(
    sampler: str, values: list[float | None], metric: str = "fd", space: str = "effnet", **keys
) -> list[dict]:
    """Return a row a seed."""
    return [
        row(metric, value, sampler=sampler, seed=str(seed), space=space, n=100, **keys)
        for seed, value in enumerate(values)
    ]


def summary(sampler: str, values: list[float], metric: str = "fd", space: str = "effnet", **keys) -> dict:
    """Return the one row that an older version kept of several seeds."""
    ends, seeds = mean_interval(values), " ".join(str(seed) for seed in range(len(values)))
    mean = sum(values) / len(values)
    keys |= {"low": ends.low, "high": ends.high, "n": 100}
    return row(metric, mean, sampler=sampler, seed=seeds, space=space, **keys)


def difference(first: str, second: str, one: list[float], other: list[float], space: str = "effnet") -> dict:
    """Return the row that an older version kept of a paired comparison."""
    found = paired(one, other)
    ends = {"low": found.interval.low, "high": found.interval.high}
    about = {
        "sampler": first,
        "relative_to": second,
        "seed": " ".join(map(str, range(found.n))),
        "space": space,
    }
    return row("fd_difference", found.mean, **about, **ends)


def times(
    sampler: str, values: list[float], metric: str = "ms_per_image", batch_size: int = 1, **keys
) -> list[dict]:
    """Return a row a process."""
    about = {"sampler": sampler, "batch_size": batch_size, "guidance": 0.0}
    return [row(metric, value, repetition=i, **about, **keys) for i, value in enumerate(values)]


def sampler(name: str, **attributes) -> dict:
    """Return a resolved row of an experiment."""
    plain = {"name": name, "group": name, "type": name, "flow": "flow", "reverse": None, "denoise": False}
    plain |= {"output": "noisy", "exact": False, "iterative": False, "learned": False, "guidance": 0.0}
    return plain | {"step": None, "factor": None, "title": None} | attributes


def experiment(*samplers: dict) -> dict:
    """Return {key: resolved experiment}."""
    return {KEY: {"experiment": KEY[1], "samplers": list(samplers)}}
