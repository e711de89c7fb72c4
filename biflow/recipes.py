"""Recipes of the objectives: how a learned reverse is made, trained, validated, saved and loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from baselines.farmer import FarmerStudent, StudentSpec, load_student, save_student, state_errors
from baselines.tarflow.model import TarFlow, TarFlowSpec
from baselines.tarflow.training import add_noise, drop_labels, flow_spec, spec_for
from biflow.model import ReverseModel, ReverseSpec, load_reverse, save_reverse
from biflow.objectives import OBJECTIVES, mse, trajectory
from biflow.perceptual import feature_spaces_in_loss, load_perceptual
from biflow.training import (
    VALIDATION_IMAGES,
    calibrate,
    held_out_path,
    reverse_loss,
    reverse_spec,
    target_rms,
    validation_measure,
)
from nfbench.config import FlowConfig, ReverseConfig
from nfbench.data.datasets import Dataset, Splits
from nfbench.train.trainer import Evaluate, Loss, Phases


@dataclass(frozen=True)
class Recipe:
    """The functions of an objective.

    A model maps noise (B, T, D) and labels to the tokens of images, `spec.output` says whether these are
    clean or noisy, and `decode_trajectory` returns its states.

    Attributes:
        spec: (config, architecture of the flow) to the architecture of the model.
        make: (config, flow, data, seed) to a new model on the flow's device, calibrated on training images.
        loss: (config, flow, classifier) to the training loss; classifier is the file of the data set's
            classifier, for losses that compare its features, or None.
        validation_measure: (flow, data) to what the trainer evaluates, with `validation_reconstruction_mse`.
        save: (path, model, meta, kept) writes a checkpoint, see `biflow.model.save_reverse`.
        load: (path, step) to the model, in evaluation mode on the CPU; step None for the final weights.
    """

    spec: Callable[[ReverseConfig, TarFlowSpec], ReverseSpec | StudentSpec]
    make: Callable[[ReverseConfig, TarFlow, Dataset, int], nn.Module]
    loss: Callable[..., Loss | Phases]
    validation_measure: Callable[[TarFlow, Dataset], Evaluate]
    save: Callable[..., None]
    load: Callable[..., nn.Module]

    def feature_spaces_in_loss(self, config: ReverseConfig) -> list[str]:
        """Return the feature spaces that the loss compares, in which the model cannot be judged."""
        return feature_spaces_in_loss({**config.perceptual, **config.energy})


def spec_of(
    flow: FlowConfig, splits: Splits | None, reverse: ReverseConfig | None = None
) -> TarFlowSpec | ReverseSpec | StudentSpec:
    """Return the architecture of a flow, or of a reverse of it.

    Args:
        splits: the data set, whose images size the flow; may be None for a flow with a shape of its own.

    Raises:
        UserError: patches do not tile the images, or guidance is configured for a flow without classes.
    """
    if flow.shape is None:
        spec = flow_spec(flow, splits)
    else:
        spec = spec_for(flow, flow.shape[0], flow.shape[1], flow.n_classes)
    return spec if reverse is None else RECIPES[reverse.objective].spec(reverse, spec)


def make_reverse(config: ReverseConfig, flow: TarFlow, data: Dataset, seed: int) -> ReverseModel:
    """Make BiFlow's reverse model; see `Recipe.make`."""
    torch.manual_seed(seed)
    model = ReverseModel(reverse_spec(config, flow.spec)).to(flow.var.device)
    calibrate(model, flow, data, seed)
    return model


def loss_of_config(
    config: ReverseConfig, flow: TarFlow, classifier: str | Path | None = None
) -> Loss | Phases:
    """Return the loss of BiFlow's reverse model with its perceptual distances; see `Recipe.loss`."""
    distances = load_perceptual({**config.perceptual, **config.energy}, flow.var.device, classifier)
    return reverse_loss(flow, config, distances)


def student_spec(config: ReverseConfig, flow: TarFlowSpec) -> StudentSpec:
    """Describe FARMER's student, which has the architecture of the flow."""
    return StudentSpec(flow, config.normalisation)


def make_student(config: ReverseConfig, flow: TarFlow, data: Dataset, seed: int) -> FarmerStudent:
    """Make FARMER's student, which starts from the flow's weights; see `Recipe.make`."""
    student = FarmerStudent.of(flow, config.normalisation)
    if config.normalisation != "none":
        per_token = config.normalisation == "token"
        student.target_rms.copy_(target_rms(flow, data, seed, per_token))
    return student


def student_loss(config: ReverseConfig, flow: TarFlow, classifier: str | Path | None = None) -> Loss:
    """Return the loss of FARMER's student: the summed errors of its states; see `Recipe.loss`."""

    def loss(student: FarmerStudent, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        x, noisy = add_noise(images, flow.spec.sigma, generator)
        y = drop_labels(labels, config.class_dropout_prob, generator)
        path = trajectory(flow, x, noisy, y)
        return sum(state_errors(student, student.states(path.z, y), path.states))

    return loss


def student_validation(flow: TarFlow, data: Dataset) -> Evaluate:
    """Return the errors on the first validation images; states, x_0 included, in the student's units."""
    path, y = held_out_path(flow, data, range(min(VALIDATION_IMAGES, len(data))))

    def measure(student: FarmerStudent) -> dict[str, float]:
        states = student.states(path.z, y)
        row = {
            "validation_reconstruction_mse": mse(states[-1], path.clean).item(),
            "validation_noisy_mse": mse(states[-1], path.states[-1]).item(),
        }
        for i, error in enumerate(state_errors(student, states, path.states)):
            row[f"validation_alignment_mse_{len(states) - 1 - i}"] = error.item()
        return row

    return measure


REVERSE = Recipe(reverse_spec, make_reverse, loss_of_config, validation_measure, save_reverse, load_reverse)
STUDENT = Recipe(student_spec, make_student, student_loss, student_validation, save_student, load_student)
RECIPES = dict.fromkeys(OBJECTIVES, REVERSE) | {"farmer": STUDENT}
