"""Training of a reverse model against a frozen flow."""

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from baselines.tarflow.model import TarFlow, TarFlowSpec
from baselines.tarflow.training import add_noise, drop_labels
from biflow.energy import prior_energy
from biflow.feature_distance import FeatureDistance
from biflow.guidance import draw_scales
from biflow.model import ReverseModel, ReverseSpec
from biflow.objectives import OBJECTIVES, Terms, Trajectory, mse, targets, trajectory
from biflow.sizes import matched_spec, sampling_parameters
from nfbench.config import ReverseConfig
from nfbench.data.datasets import Dataset
from nfbench.data.noise import latent_noise
from nfbench.data.pixels import to_float
from nfbench.errors import UserError
from nfbench.train.trainer import Loss, Phases

CALIBRATION_IMAGES = 2000
VALIDATION_IMAGES = 1000


def reverse_spec(config: ReverseConfig, flow: TarFlowSpec) -> ReverseSpec:
    """Return the architecture of a reverse model for its flow and objective.

    Without learned denoising it has one stage less and is widened to the same number of parameters.

    Raises:
        UserError: guidance is configured for a flow without classes.
    """
    if config.guidance_max and flow.n_classes is None:
        raise UserError("the flow has no classes to guide by; set 'guidance_max' of the reverse to 0.")
    spec = ReverseSpec(
        channels=flow.channels,
        image_size=flow.image_size,
        patch_size=flow.patch_size,
        width=config.width,
        blocks=flow.blocks,
        layers_per_stage=config.layers,
        head_dim=config.head_dim,
        n_classes=flow.n_classes,
        projection=OBJECTIVES[config.objective].projection,
        normalisation=config.normalisation,
        conditioning=config.conditioning,
        guidance_max=config.guidance_max,
    )
    if config.denoising == "learned":
        return spec
    return matched_spec(dataclasses.replace(spec, denoising=config.denoising), sampling_parameters(spec))


def calibrate(model: ReverseModel, flow: TarFlow, data: Dataset, seed: int) -> None:
    """Measure the units of the model's targets on training images and store them in the model."""
    if model.spec.normalisation == "none" or not model.spec.n_states:
        return
    rms = target_rms(flow, data, seed, per_token=model.spec.normalisation == "token")
    model.target_rms.copy_(rms[: model.spec.n_states])


@torch.no_grad()
def target_rms(flow: TarFlow, data: Dataset, seed: int, per_token: bool) -> Tensor:
    """Return the RMS of x_{K-1}, ..., x_0 on the first training images, (K,), or per token, (K, T)."""
    device = flow.var.device
    head = data.subset(range(min(CALIBRATION_IMAGES, len(data))))
    generator = torch.Generator(device).manual_seed(seed)
    x, noisy = add_noise(torch.from_numpy(head.images).to(device), flow.spec.sigma, generator)
    path = trajectory(flow, x, noisy, torch.from_numpy(head.labels).to(device))
    squares = [state.square() for state in path.states]
    means = [square.mean(dim=(0, 2)) if per_token else square.mean() for square in squares]
    return torch.stack([mean.sqrt() for mean in means])


def reverse_loss(
    flow: TarFlow,
    config: ReverseConfig,
    distances: Mapping[str, FeatureDistance] | None = None,
) -> Loss | Phases:
    """Return the training loss of a reverse model; dropped labels are dropped for the flow too.

    With `energy` in the config, later steps add an energy distance, see `biflow.energy`.

    Args:
        flow: the frozen flow.
        config: of the reverse model; `perceptual` and `energy` hold the weights of the distances.
        distances: the distances that the config names, from `biflow.perceptual.load_perceptual`.

    Raises:
        ValueError: a distance that the config names is not given.
    """
    missing = sorted({*config.perceptual, *config.energy} - set(distances or {}))
    if missing:
        raise ValueError(f"the loss needs the perceptual distances {missing}")
    objective = OBJECTIVES[config.objective].loss
    perceptual = tuple((distances[name], weight) for name, weight in config.perceptual.items())
    terms = Terms(config.adaptive_weight, perceptual)
    energies = tuple((distances[name], weight) for name, weight in config.energy.items())

    def encode(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Trajectory, Tensor]:
        x, noisy = add_noise(images, flow.spec.sigma, generator)
        y = drop_labels(labels, config.class_dropout_prob, generator)
        return trajectory(flow, x, noisy, y), y

    def matched(model: ReverseModel, path: Trajectory, y: Tensor, generator: torch.Generator) -> Tensor:
        if not config.guidance_max:
            return objective(model, path, y, terms)
        scales = draw_scales(y, config.guidance_max, generator, config.guidance_prob)
        return objective(model, path, y, terms, scales)

    def loss(model: ReverseModel, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        path, y = encode(images, labels, generator)
        return matched(model, path, y, generator)

    def with_energy(
        model: ReverseModel, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        path, y = encode(images, labels, generator)
        total = matched(model, path, y, generator)
        return total + prior_energy(model, path.clean, y, energies, generator)

    if not energies:
        return loss
    return Phases(loss, with_energy, round(config.energy_start * config.training.steps))


@torch.no_grad()
def held_out_path(flow: TarFlow, data: Dataset, indices: range) -> tuple[Trajectory, Tensor]:
    """Return the trajectories of some held-out images in the flow, and their labels.

    The noise of image i depends on i alone, so that every reverse model gets the same noise.
    """
    device = flow.var.device
    chosen = data.subset(indices)
    x = to_float(chosen.images)
    noise = latent_noise(0, indices, x.shape[1:], stream="forward-noise").to(x.dtype)
    y = torch.from_numpy(chosen.labels).to(device)
    return trajectory(flow, x.to(device), (x + flow.spec.sigma * noise).to(device), y), y


def validation_measure(flow: TarFlow, data: Dataset) -> Callable[[nn.Module], dict[str, float]]:
    """Return a function that measures errors on the first validation images.

    `validation_reconstruction_mse` is against the clean image; models with noisy output also have
    `validation_noisy_mse`, against the noisy image. States are compared in the model's units.
    """
    path, y = held_out_path(flow, data, range(min(VALIDATION_IMAGES, len(data))))

    def measure(model: ReverseModel) -> dict[str, float]:
        result = model.reverse(path.z, y)
        output, states = targets(model, path)
        row = {"validation_reconstruction_mse": mse(result.x, path.clean).item()}
        if model.spec.output == "noisy":
            row["validation_noisy_mse"] = mse(result.x, output).item()
        n = len(path.states)
        for i, (state, target) in enumerate(zip(result.states, states, strict=True)):
            row[f"validation_alignment_mse_{n - 1 - i}"] = mse(state, target).item()
        return row

    return measure
