"""Which figures an experiment has, decided from its file alone, before anything runs."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

Experiment = Mapping[str, Any]  # resolved, as in results/{experiment}/experiment.yaml


def chart_names(experiment: Experiment) -> list[str]:
    """Return the names of the charts that an experiment has measurements for."""
    rows = experiment["samplers"]
    timed = [row for row in rows if row["speed"]]
    scored = [row for row in rows if row["quality"]]
    models = [*experiment["flows"].values(), *experiment["reverses"].values()]
    scales, stops = defaultdict(set), defaultdict(set)
    for row in scored:
        scales[row["group"]].add(row["guidance"])
        if row["iterative"] and row["speed"]:
            stops[row["group"]].add(tuple(row["options"].get(key) for key in ("tolerance", "max_iterations")))
    swept = any(len(values) > 1 for values in stops.values())
    wanted = {
        "quality_speed": timed and scored,
        "sample_size": scored,
        "training": any(model["training"]["steps"] for model in models),
        "speedup": timed,
        "tolerance": swept,
        "iterations": swept,
        "guidance": any(len(values) > 1 for values in scales.values()),
        "training_time": any(row["step"] is not None for row in scored),
    }
    return [name for name, there in wanted.items() if there]


def image_names(experiment: Experiment) -> list[str]:
    """Return the names of the figures that show images."""
    rows = [row for row in experiment["samplers"] if row["quality"]]
    drawn = [row for row in rows if row["flow"] is not None and row["type"] != "real+noise"]
    names = (["samples"] if rows else []) + (["nearest", "trajectory"] if drawn else [])
    return names + (["inpainting", "class_editing"] if experiment["editing"] else [])
