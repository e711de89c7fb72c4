"""How each learned reverse is made, trained, watched and kept: all that the workflow's scripts know of it."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.farmer import FarmerStudent, load_student, save_student, state_errors
from baselines.tarflow.model import TarFlow
from baselines.tarflow.training import add_noise, drop_labels
from biflow import training
from biflow.checkpoint import load_reverse, save_reverse
from biflow.methods import METHODS
from biflow.model import ReverseModel
from biflow.objectives import mse, trajectory
from biflow.perceptual import load_perceptual, seen_spaces
from nfbench.config import ReverseConfig, StudentConfig
from nfbench.data.datasets import Dataset
from nfbench.train.loop import Evaluate, Loss, Phases


class Recipe(ABC):
    """One of them; `config` is the dataclass of its section under `reverse` in an experiment file.

    What it makes maps noise (B, T, D) and labels to the tokens of images when called, `spec.output` says
    whether these are clean or noisy, and `way_back` shows the states, see `ReverseModel.way_back`.
    """

    config: type

    @abstractmethod
    def make(self, config: Any, flow: TarFlow, data: Dataset, seed: int) -> nn.Module:
        """Return a fresh model beside the flow, on its device, calibrated on training images."""

    @abstractmethod
    def loss(self, config: Any, flow: TarFlow, classifier: str | Path | None = None) -> Loss | Phases:
        """Return what is minimised; where a label is dropped, the flow's path goes without too.

        Args:
            classifier: file of the domain classifier, for losses that compare its features.
        """

    def seen_spaces(self, config: Any) -> list[str]:
        """Return the feature spaces whose features the loss compares, and that judge it no longer."""
        return []

    @abstractmethod
    def validation_measure(self, flow: TarFlow, data: Dataset) -> Evaluate:
        """Return what the training loop evaluates, `validation_reconstruction_mse` among it."""

    @abstractmethod
    def save(self, path: str | Path, model: nn.Module, meta: dict[str, Any]) -> None:
        """Write a checkpoint."""

    @abstractmethod
    def load(self, path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
        """Read a checkpoint, in evaluation mode on the CPU, and what is known of it.

        Raises:
            UserError: the file is missing, corrupt or of another kind.
        """


class ReverseRecipe(Recipe):
    """A method of BiFlow, by its name in `METHODS`."""

    config = ReverseConfig

    def __init__(self, method: str):
        self.method = method

    def make(self, config: ReverseConfig, flow: TarFlow, data: Dataset, seed: int) -> ReverseModel:
        torch.manual_seed(seed)
        model = ReverseModel(training.reverse_spec(config, flow, self.method)).to(flow.var.device)
        training.calibrate(model, flow, data, seed)
        return model

    def loss(
        self, config: ReverseConfig, flow: TarFlow, classifier: str | Path | None = None
    ) -> Loss | Phases:
        distances = load_perceptual({**config.perceptual, **config.energy}, flow.var.device, classifier)
        return training.reverse_loss(self.method, flow, config, distances)

    def seen_spaces(self, config: ReverseConfig) -> list[str]:
        return seen_spaces({**config.perceptual, **config.energy})

    def validation_measure(self, flow: TarFlow, data: Dataset) -> Evaluate:
        return training.validation_measure(flow, data)

    def save(self, path: str | Path, model: ReverseModel, meta: dict[str, Any]) -> None:
        save_reverse(path, model, meta)

    def load(self, path: str | Path) -> tuple[ReverseModel, dict[str, Any]]:
        return load_reverse(path)


class StudentRecipe(Recipe):
    """FARMER's one-step distillation, see `baselines.farmer`."""

    config = StudentConfig

    def make(self, config: StudentConfig, flow: TarFlow, data: Dataset, seed: int) -> FarmerStudent:
        student = FarmerStudent.of(flow, config.normalisation)
        if config.normalisation != "none":
            per_token = config.normalisation == "token"
            student.target_rms.copy_(training.target_rms(flow, data, seed, per_token))
        return student

    def loss(self, config: StudentConfig, flow: TarFlow, classifier: str | Path | None = None) -> Loss:
        def loss(
            student: FarmerStudent, images: Tensor, labels: Tensor, generator: torch.Generator
        ) -> Tensor:
            x, noisy = add_noise(images, flow.spec.sigma, generator)
            y = drop_labels(labels, config.label_drop, generator)
            path = trajectory(flow, x, noisy, y)
            return sum(state_errors(student, student.states(path.z, y), path.states))

        return loss

    def validation_measure(self, flow: TarFlow, data: Dataset) -> Evaluate:
        """As of BiFlow's methods; every state is compared in the student's units, x_0 among them."""
        head = range(min(training.VALIDATION_IMAGES, len(data)))
        path, y = training.held_out_path(flow, data, head)

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

    def save(self, path: str | Path, model: FarmerStudent, meta: dict[str, Any]) -> None:
        save_student(path, model, meta)

    def load(self, path: str | Path) -> tuple[FarmerStudent, dict[str, Any]]:
        return load_student(path)


RECIPES: dict[str, Recipe] = {name: ReverseRecipe(name) for name in METHODS} | {"farmer": StudentRecipe()}
