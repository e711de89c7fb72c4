"""Training of a reverse model against a frozen flow."""

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from baselines.tarflow.model import TarFlow
from baselines.tarflow.training import add_noise, drop_labels
from biflow.energy import prior_energy
from biflow.guidance import draw_scales
from biflow.methods import METHODS
from biflow.model import ReverseModel, ReverseSpec
from biflow.objectives import Terms, Trajectory, mse, targets, trajectory
from biflow.perceptual.features import FeatureDistance
from biflow.sizes import matched_spec, sampling_parameters
from nfbench.config import ReverseConfig
from nfbench.data.datasets import Dataset
from nfbench.data.noise import latent_noise
from nfbench.data.pixels import to_float
from nfbench.errors import UserError
from nfbench.train.loop import Loss, Phases

CALIBRATION_IMAGES = 2000
VALIDATION_IMAGES = 1000


def reverse_spec(config: ReverseConfig, flow: TarFlow, method: str) -> ReverseSpec:
    """Describe the reverse model that an experiment asks for, fitted to its flow and to its method.

    Without learned denoising it lacks a group of layers and is widened to as many parameters as with it.

    Raises:
        UserError: guidance is asked of a method that is not defined with it, of a flow without classes, or
            of a training that drops no label.
    """
    _check_guidance(config, flow, method)
    spec = ReverseSpec(
        channels=flow.spec.channels,
        image_size=flow.spec.image_size,
        patch_size=flow.spec.patch_size,
        width=config.width,
        blocks=flow.spec.blocks,
        layers_per_group=config.layers_per_group,
        head_dim=config.head_dim,
        n_classes=flow.spec.n_classes,
        projection=METHODS[method].projection,
        normalisation=config.normalisation,
        conditioning=config.conditioning,
        guidance_max=config.guidance_max,
    )
    if config.denoising == "learned":
        return spec
    return matched_spec(dataclasses.replace(spec, denoising=config.denoising), sampling_parameters(spec))


def _check_guidance(config: ReverseConfig, flow: TarFlow, method: str) -> None:
    if config.guidance_max and not METHODS[method].guided:
        raise UserError(
            f"training-time guidance is defined for hidden alignment, not for {METHODS[method].title}; set"
            f" 'reverse.{method}.guidance_max' to 0."
        )
    if config.guidance_max and flow.spec.n_classes is None:
        raise UserError(f"the flow has no classes to guide by; set 'reverse.{method}.guidance_max' to 0.")
    if config.guidance_max and not config.label_drop:
        raise UserError(
            f"guidance leads away from images without label; set the 'label_drop' of {method} above 0."
        )


def calibrate(model: ReverseModel, flow: TarFlow, data: Dataset, seed: int) -> None:
    """Measure the RMS of every target on training images and store it in the model.

    Per target, or per target and place of a token; without normalisation the units stay 1.
    """
    if model.spec.normalisation == "none" or not model.spec.n_states:
        return
    rms = target_rms(flow, data, seed, per_token=model.spec.normalisation == "token")
    model.target_rms.copy_(rms[: model.spec.n_states])


@torch.no_grad()
def target_rms(flow: TarFlow, data: Dataset, seed: int, per_token: bool) -> Tensor:
    """Return the RMS of x_{K-1}, ..., x_0 on the first training images, (K,), or of every token, (K, T)."""
    device = flow.var.device
    head = data.subset(range(min(CALIBRATION_IMAGES, len(data))))
    generator = torch.Generator(device).manual_seed(seed)
    x, noisy = add_noise(torch.from_numpy(head.images).to(device), flow.spec.sigma, generator)
    path = trajectory(flow, x, noisy, torch.from_numpy(head.labels).to(device))
    squares = [state.square() for state in path.states]
    means = [square.mean(dim=(0, 2)) if per_token else square.mean() for square in squares]
    return torch.stack([mean.sqrt() for mean in means])


def reverse_loss(
    method: str,
    flow: TarFlow,
    config: ReverseConfig,
    distances: Mapping[str, FeatureDistance] | None = None,
) -> Loss | Phases:
    """Return the training loss of a method; where a label is dropped, the flow's path goes without too.

    With `energy`, the steps from its beginning on have an energy distance beside, see `biflow.energy`.

    Args:
        method: a key of `biflow.methods.METHODS`.
        flow: the frozen flow.
        config: of the reverse model; `perceptual` and `energy` hold the distances' weights.
        distances: the perceptual distances that the config names, from `biflow.perceptual.load_perceptual`.

    Raises:
        UserError: as `reverse_spec`.
        ValueError: a distance that the config names is not given.
    """
    _check_guidance(config, flow, method)
    missing = sorted({*config.perceptual, *config.energy} - set(distances or {}))
    if missing:
        raise ValueError(f"the loss needs the perceptual distances {missing}")
    objective = METHODS[method].objective
    weighed = tuple((distances[name], weight) for name, weight in config.perceptual.items())
    terms = Terms(config.adaptive_weight, weighed)
    energies = tuple((distances[name], weight) for name, weight in config.energy.items())

    def follow(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Trajectory, Tensor]:
        x, noisy = add_noise(images, flow.spec.sigma, generator)
        y = drop_labels(labels, config.label_drop, generator)
        return trajectory(flow, x, noisy, y), y

    def match(model: ReverseModel, path: Trajectory, y: Tensor, generator: torch.Generator) -> Tensor:
        if not config.guidance_max:
            return objective(model, path, y, terms)
        scales = draw_scales(y, config.guidance_max, generator, config.guidance_share)
        return objective(model, path, y, terms, scales)

    def loss(model: ReverseModel, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        path, y = follow(images, labels, generator)
        return match(model, path, y, generator)

    def with_energy(
        model: ReverseModel, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        path, y = follow(images, labels, generator)
        total = match(model, path, y, generator)
        return total + prior_energy(model, path.clean, y, energies, generator)

    if not energies:
        return loss
    return Phases(loss, with_energy, round(config.energy_from * config.training.steps))


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
    """Return what the training loop evaluates: errors on the first validation images.

    The reconstruction is compared with the clean image, also where the output is noisy; such an output's
    error against the noisy image is then given too. States are compared in the model's units.
    """
    path, y = held_out_path(flow, data, range(min(VALIDATION_IMAGES, len(data))))

    def measure(model: ReverseModel) -> dict[str, float]:
        reversal = model.reverse(path.z, y)
        output, states = targets(model, path)
        row = {"validation_reconstruction_mse": mse(reversal.x, path.clean).item()}
        if model.spec.output == "noisy":
            row["validation_noisy_mse"] = mse(reversal.x, output).item()
        n = len(path.states)
        for i, (state, target) in enumerate(zip(reversal.states, states, strict=True)):
            row[f"validation_alignment_mse_{n - 1 - i}"] = mse(state, target).item()
        return row

    return measure
