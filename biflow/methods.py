"""The ways to train a reverse model that are compared; each is a sampler under its own name."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from biflow.model import Projection
from biflow.objectives import hidden_alignment, hidden_distillation, naive_distillation


@dataclass(frozen=True)
class Method:
    """One of them.

    Attributes:
        title: what it is called in the paper.
        objective: (model, trajectory, labels, terms) to the loss.
        projection: what the model does with its projected states, see `biflow.model.ReverseSpec`.
        guided: whether its objective takes scales of training-time guidance, see `biflow.guidance`.
    """

    title: str
    objective: Callable[..., Tensor]
    projection: Projection
    guided: bool = False


METHODS = {
    "biflow": Method("hidden alignment", hidden_alignment, "beside", guided=True),
    "biflow-naive": Method("naive distillation", naive_distillation, "none"),
    "biflow-hidden": Method("hidden distillation", hidden_distillation, "through"),
}
