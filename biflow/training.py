"""Training of a reverse model against a frozen flow."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from baselines.tarflow.model import TarFlow
from baselines.tarflow.training import add_noise, drop_labels
from biflow.model import ReverseModel, ReverseSpec
from biflow.objectives import Trajectory, hidden_alignment, mse, trajectory
from nfbench.config import ReverseConfig
from nfbench.data.datasets import Dataset
from nfbench.data.noise import latent_noise
from nfbench.data.pixels import to_float

CALIBRATION_IMAGES = 2000
VALIDATION_IMAGES = 1000

OBJECTIVES = {"biflow": hidden_alignment}


def reverse_spec(config: ReverseConfig, flow: TarFlow) -> ReverseSpec:
    """Describe the reverse model that an experiment asks for, fitted to its flow."""
    return ReverseSpec(
        channels=flow.spec.channels,
        image_size=flow.spec.image_size,
        patch_size=flow.spec.patch_size,
        width=config.width,
        blocks=flow.spec.blocks,
        layers_per_group=config.layers_per_group,
        head_dim=config.head_dim,
        n_classes=flow.spec.n_classes,
    )


@torch.no_grad()
def calibrate(model: ReverseModel, flow: TarFlow, data: Dataset, seed: int) -> None:
    """Measure the RMS of every target on training images and store it in the model."""
    device = flow.var.device
    head = data.subset(range(min(CALIBRATION_IMAGES, len(data))))
    generator = torch.Generator(device).manual_seed(seed)
    x, noisy = add_noise(torch.from_numpy(head.images).to(device), flow.spec.sigma, generator)
    path = trajectory(flow, x, noisy, torch.from_numpy(head.labels).to(device))
    model.target_rms.copy_(torch.stack([s.square().mean().sqrt() for s in path.states]))


def reverse_loss(
    method: str, flow: TarFlow, label_drop: float
) -> Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]:
    """Return the training loss of a method; where a label is dropped, the flow's path goes without too."""
    objective = OBJECTIVES[method]

    def loss(model: ReverseModel, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        x, noisy = add_noise(images, flow.spec.sigma, generator)
        y = drop_labels(labels, label_drop, generator)
        return objective(model, trajectory(flow, x, noisy, y), y)

    return loss


@torch.no_grad()
def held_out_path(flow: TarFlow, data: Dataset, indices: range) -> tuple[Trajectory, Tensor]:
    """Return the way of some held-out images through the flow, and their labels.

    Image i's noise depends on i alone, so that every reverse model is given the same noise.
    """
    device = flow.var.device
    chosen = data.subset(indices)
    x = to_float(chosen.images)
    noise = latent_noise(0, indices, x.shape[1:], stream="forward-noise").to(x.dtype)
    y = torch.from_numpy(chosen.labels).to(device)
    return trajectory(flow, x.to(device), (x + flow.spec.sigma * noise).to(device), y), y


def validation_measure(flow: TarFlow, data: Dataset) -> Callable[[nn.Module], dict[str, float]]:
    """Return what the training loop evaluates: errors on the first validation images."""
    path, y = held_out_path(flow, data, range(min(VALIDATION_IMAGES, len(data))))

    def measure(model: ReverseModel) -> dict[str, float]:
        reversal = model.reverse(path.z, y)
        row = {"validation_reconstruction_mse": mse(reversal.x, path.clean).item()}
        n = len(path.states)
        for i, (state, target) in enumerate(zip(reversal.states, path.states, strict=True)):
            scaled = target / model.target_rms[i]
            row[f"validation_alignment_mse_{n - 1 - i}"] = mse(state, scaled).item()
        return row

    return measure
