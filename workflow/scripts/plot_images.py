"""Draw the figures of images: samples, nearest training images, trajectories, inpainting, class editing."""

from pathlib import Path

import numpy as np
import torch

from baselines.make import make_sampler
from baselines.tarflow.checkpoint import load_flow
from baselines.tarflow.cost import Count
from baselines.tarflow.denoise import denoise
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.sequential import Sequential
from biflow.editing import paste
from biflow.held_out_edits import MASKS, edited, held_out_edits, inpainted
from biflow.recipes import RECIPES
from biflow.training import held_out_path
from nfbench.data.datasets import balanced_indices, load_section
from nfbench.data.pixels import to_shown
from nfbench.measure.nearest import nearest
from nfbench.registry import OBJECTIVES, sampler_type
from nfbench.report.figures import images, style
from nfbench.sample.sample_set import read_sample_set
from nfbench.script import script

EXACT = "sequential-static+denoise"  # what the learned reverses are compared with
COLUMNS, NEAREST, MEASURED = 20, 16, 1000
ON_THE_WAY, EDITED, EACH_MASK = 3, 5, 3  # images in a figure


def test_images(n):
    """Return the numbers of n test images, of as many classes as there are."""
    return balanced_indices(test.labels, max(n, len(test.classes)), seed=1)[:n]


def draw_samples():
    """Show every group of samplers at its first member, each column of the class that was asked for."""
    firsts = {}
    for row, path in zip(params.rows, given.samples, strict=True):
        firsts.setdefault(row["group"], (row, path))
    sets = {name: read_sample_set(path) for name, (_, path) in firsts.items()}
    drawn = [name for name, (row, _) in firsts.items() if sampler_type(row["type"]).draws_from != "data"]
    labels = sets[(drawn or list(sets))[0]].labels[:COLUMNS]  # real images have an order of their own
    rows = [(name, images.first_of_classes(each.images, each.labels, labels)) for name, each in sets.items()]
    return images.image_rows(rows, [test.classes[label] if label >= 0 else "" for label in labels])


def draw_nearest():
    """Show the last sampler's images, learned ones if there are any, and the nearest training images."""
    chosen = balanced_indices(test.labels, min(MEASURED, len(test)), seed=0)
    distances, found = {"test images": nearest(test.images[chosen], splits.train.images)[1]}, {}
    drawn = [row for row in params.rows if sampler_type(row["type"]).draws_from != "data"]
    firsts = {row["group"]: row for row in reversed(drawn) if not row["factor"]} or {
        drawn[0]["group"]: drawn[0]
    }
    paths = dict(zip((row["name"] for row in params.rows), given.samples, strict=True))
    for group, row in reversed(firsts.items()):
        samples = read_sample_set(paths[row["name"]]).images[:MEASURED]
        found[group], distances[group] = nearest(samples, splits.train.images)
    learned = [group for group in found if firsts[group]["learned"]]
    shown = (learned or list(found))[-1]
    samples = read_sample_set(paths[firsts[shown]["name"]]).images[:NEAREST]
    neighbours = splits.train.images[found[shown][:NEAREST]]
    return images.nearest_training_images(samples, neighbours, distances[shown][:NEAREST], distances)


def to_grey(x):
    """Show a state of any scale: [-3, 3], the range of nearly all noise, on the whole grey scale."""
    return ((x.clamp(-3, 3) + 3) * (255 / 6)).round().to(torch.uint8)


@torch.no_grad()
def draw_trajectory():
    """Follow test images through the flow to noise, and back through both kinds of inverse."""
    path, y = held_out_path(flow, test.subset(test_images(ON_THE_WAY)), range(ON_THE_WAY))
    exact, _ = Sequential(flow).invert(path.z, y, Guidance(), Count())
    exact = [flow.to_images(state) for state in (*exact, path.z)]
    ways = {
        "data to noise": [path.clean, *path.states[::-1], path.z],
        "sequential\n+denoise": [denoise(flow, exact[0], y), *exact],
    }
    blank = torch.full_like(path.z, 3.0)  # white, for states that a reverse does not predict
    for name, (objective, file) in reverses.items():
        states = RECIPES[objective].load(file).decode_trajectory(path.z, y)
        ways[name] = [*(blank if state is None else state for state in states), path.z]
    rows = []
    for i in range(ON_THE_WAY):
        for name, states in ways.items():
            shown = [s if s.ndim == 4 else flow.to_images(s) for s in states]
            rows.append((name, torch.stack([to_grey(image[i]) for image in shown]).numpy()))
    middle = [f"$x_{k}$" for k in range(1, flow.spec.blocks)]
    return images.image_rows(rows, ["clean", "$x_0$, noisy", *middle, "$z$"], len(ways))


def editors():
    """Return the samplers that edit images, by name."""
    made = {name: make_sampler(OBJECTIVES[objective], file) for name, (objective, file) in reverses.items()}
    return {EXACT: make_sampler(EXACT, flow)} | made


def draw_inpainting():
    """Show test images with a part hidden, and what every sampler puts there."""
    samplers, panels = editors(), []
    chosen = test_images(len(MASKS) * EACH_MASK).reshape(len(MASKS), EACH_MASK)
    for mask, indices in zip(MASKS, chosen, strict=True):
        edits = held_out_edits(test, indices, flow.spec, int(params.seed))
        hidden = edits.mask(mask, flow.spec.patch_size)
        rows = []
        for name, sampler in samplers.items():
            raw = inpainted(edits, mask, flow, sampler)
            rows += [(name, to_shown(raw)), ("pasted", to_shown(paste(edits.images, raw, hidden)))]
        title = f"hidden: {mask.replace('-', ' ')}"
        panels.append(images.Panel(title, to_shown(edits.images), hidden.numpy(), rows))
    return images.inpainting(panels)


def draw_class_editing():
    """Show test images as every class."""
    edits = held_out_edits(test, test_images(EDITED), flow.spec, int(params.seed))
    results = {
        name: np.stack(
            [to_shown(edited(edits, flow, sampler, to)) for to in range(len(test.classes))], axis=1
        )
        for name, sampler in editors().items()
    }
    return images.class_editing(to_shown(edits.images), edits.labels.tolist(), results, test.classes)


FIGURES = {
    "samples": draw_samples,
    "nearest": draw_nearest,
    "trajectory": draw_trajectory,
    "inpainting": draw_inpainting,
    "class_editing": draw_class_editing,
}

with script(snakemake.log[0], snakemake.threads) as report:
    given, params = snakemake.input, snakemake.params
    splits = load_section(params.data)
    test, flow = splits.test, load_flow(given.flow)
    reverses = dict(zip(params.names, zip(params.objectives, given.reverses, strict=True), strict=True))
    folder = Path(snakemake.output[0]).parent
    for name in params.figures:
        style.save(FIGURES[name](), folder / f"{name}.png", folder / f"{name}.pdf")
        report(name)
