"""Follow test images through the flow to noise, and back through both kinds of inverse."""

import torch

from baselines import load_flow
from baselines.tarflow.counting import Count
from baselines.tarflow.denoise import denoise
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.sequential import Sequential
from biflow.recipes import RECIPES
from biflow.training import held_out_path
from nfbench.data.datasets import balanced_indices, load_section
from nfbench.job import job
from nfbench.report import figures, style

IMAGES = 3


def to_grey(x):
    """Show a state of any scale: [-3, 3], the range of nearly all noise, on the whole grey scale."""
    return ((x.clamp(-3, 3) + 3) * (255 / 6)).round().to(torch.uint8)


with job(snakemake.log[0], snakemake.threads) as report, torch.no_grad():
    flow, _ = load_flow(snakemake.input.flow)
    test = load_section(snakemake.params.data).test
    shown = test.subset(balanced_indices(test.labels, max(IMAGES, len(test.classes)), seed=1))
    path, y = held_out_path(flow, shown, range(IMAGES))
    exact, _ = Sequential(flow).invert(path.z, y, Guidance(), Count())
    exact = [flow.to_images(state) for state in (*exact, path.z)]
    ways = {
        "data to noise": [path.clean, *path.states[::-1], path.z],
        "sequential\n+denoise": [denoise(flow, exact[0], y), *exact],
    }
    blank = torch.full_like(path.z, 3.0)  # white, for what a method does not show
    for method, file in zip(snakemake.params.methods, snakemake.input.reverses, strict=True):
        model, _ = RECIPES[method].load(file)
        shown = [blank if state is None else state for state in model.way_back(path.z, y)]
        ways[method] = [*shown, path.z]
    rows = []
    for i in range(IMAGES):
        for name, states in ways.items():
            images = [s if s.ndim == 4 else flow.to_images(s) for s in states]
            rows.append((name, torch.stack([to_grey(image[i]) for image in images]).numpy()))
    middle = [f"$x_{k}$" for k in range(1, flow.spec.blocks)]
    titles = ["clean", "$x_0$, noisy", *middle, "$z$"]
    figure = figures.image_rows(rows, titles, rows_per_group=len(ways))
    style.save(figure, snakemake.output.png, snakemake.output.pdf)
