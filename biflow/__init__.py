"""BiFlow, the learned reverse of a frozen flow (arXiv:2512.10953).

Importing this package registers its samplers, and those of the flows that it reverses.
"""

from typing import Any

import baselines  # noqa: F401
from biflow.checkpoint import load_reverse, save_reverse
from biflow.methods import METHODS, Method
from biflow.model import ReverseModel, ReverseSpec
from biflow.sampler import OneStep
from nfbench.errors import UserError
from nfbench.sample.sampler import Entry, register

__all__ = ["OneStep", "ReverseModel", "ReverseSpec", "load_reverse", "save_reverse"]


def demo_reverse(method: str = "biflow") -> ReverseModel:
    """Return a small reverse model with random weights, of the default experiment's shape, for timing."""
    return ReverseModel(
        ReverseSpec(
            channels=1,
            image_size=14,
            patch_size=2,
            width=64,
            blocks=4,
            layers_per_group=2,
            head_dim=32,
            n_classes=10,
            projection=METHODS[method].projection,
        )
    ).eval()


def _register_reverse(name: str, method: Method) -> None:
    """Register a learned reverse; its images are clean unless the caller says otherwise."""

    def build(model: Any, output: str = "clean", **options: Any) -> OneStep:
        sampler = OneStep(model, name, **options)
        if sampler.output != output:
            raise UserError(
                f"'{name}' is asked for {output} images, and this model gives {sampler.output} ones; set its"
                f" option 'output' to '{sampler.output}', or train it with the other 'denoising'."
            )
        return sampler

    summary = f"learned reverse, {method.title}, one evaluation"
    register(
        name,
        Entry(summary, build, demo=lambda: demo_reverse(name), exact=False, learned=True, output="clean"),
    )


for _name, _method in METHODS.items():
    _register_reverse(_name, _method)
