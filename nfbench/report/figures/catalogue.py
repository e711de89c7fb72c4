"""Which figures an experiment has, decided from its file alone before anything runs, and their captions."""

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


CAPTIONS = {
    "samples": "Images of every sampler from the same noise and classes (the column titles), first seed,"
    " uncurated: images 0, 1, 2, ... of each set, and the first real images of these classes. A sweep is"
    " shown by its first member.",
    "nearest": "Samples above their nearest training images, with the distance in grey levels, and the"
    " distribution of these distances for every sampler and for test images. Memorised samples would lie"
    " much closer to the training images than test images do.",
    "trajectory": "Test images on their way through the flow to noise, and back from the same noise through"
    " the exact inverse and the learned reverses; white where a reverse predicts no state. Grey scale from"
    " -3 to 3.",
    "inpainting": "Inpainting of test images, first seed, uncurated. Hatched pixels are replaced by noise"
    " before the flow, so nothing of them reaches the results. Below each sampler's own output the same with"
    " the known pixels pasted back.",
    "class_editing": "Test images sent to noise with their own class (framed) and back as every class, first"
    " seed, uncurated.",
    "quality_speed": "Frechet distance to the reference images against latency at batch 1; down and left is"
    " better. Hollow: images with the flow's training noise. Black edge: a tuned tolerance. Bars are 95%"
    " intervals: of distances over seeds where there are at least three, else over samples; of times over"
    " processes. Grey: the Pareto front, of two samplers or more. Lines: real images.",
    "sample_size": "Frechet distance against the number of samples, means over seeds. Distances fall with n"
    " whoever draws the samples, so only those at equal n can be compared. Open markers at infinity are"
    " extrapolations with their intervals, where there are enough samples. A sampler that draws the images"
    " of an earlier one is left out.",
    "training": "Validation measures of the EMA weights during training, one line a seed: negative"
    " log-likelihood of noisy images for flows, reconstruction error for reverses. Evaluations do not count"
    " as training time.",
    "speedup": "Speed-up over the fastest exact inverse of the same flow at the same batch size, guidance"
    " scale and kind of output, with 95% intervals over pairs of processes; up is better. Hollow and dashed:"
    " images with the flow's training noise. Black edge: a tuned tolerance. Sweeps are left out.",
    "tolerance": "Time per image of iterative inverses against their squared error; down and left is better."
    " Lines: tolerances, dotted where the number of iterations is fixed. Stars: as published; crosses:"
    " the tuned tolerance, the largest that leaves the Frechet distance alone. Hollow: not denoised."
    " Horizontal lines: exact inverses. Errors below 1e-12 are rounding.",
    "iterations": "Left: fixed-point iterations of each flow block until convergence; a block solved token"
    " by token counts one a token. Right: what the convergence ranking measure (CRM) of GS-Jacobi, and its"
    " product with the smaller initial guessing measure (IGM), predict.",
    "guidance": "Frechet distance and label accuracy against the guidance scale, means over seeds with a"
    " band of one standard deviation; a scale without all seeds is a gap. Every point is drawn from the same"
    " noise and labels. Dashed curve: a loss of its training has seen these features.",
    "training_time": "Frechet distance against the seconds of reverse training, without evaluations. Thick:"
    " the exact inverse, denoised, of a flow that trained for the same total time, interpolated as a power"
    " law between the flows measured (squares); dotted: half its distance. Dashed curve: a loss of its"
    " training has seen these features, so it is no fair comparison.",
}
