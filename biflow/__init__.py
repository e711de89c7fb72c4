"""BiFlow, the learned reverse of a frozen flow (arXiv:2512.10953).

Importing this package registers its samplers, and those of the flows that it reverses.
"""

import baselines  # noqa: F401
from biflow.checkpoint import load_reverse, save_reverse
from biflow.model import ReverseModel, ReverseSpec
from biflow.sampler import OneStep
from nfbench.sample.sampler import Entry, register

__all__ = ["OneStep", "ReverseModel", "ReverseSpec", "load_reverse", "save_reverse"]


def demo_reverse() -> ReverseModel:
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
        )
    ).eval()


register(
    "biflow",
    Entry(
        summary="learned reverse, hidden alignment, one evaluation",
        build=OneStep,
        demo=demo_reverse,
        exact=False,
        learned=True,
        output="clean",
    ),
)
