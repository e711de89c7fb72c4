"""Reconstruction of images: through the flow to noise, and back with a learned reverse."""

from torch import Tensor, nn

from baselines.tarflow.denoise import denoise
from baselines.tarflow.model import TarFlow
from biflow.objectives import Trajectory


def reconstruct(model: nn.Module, flow: TarFlow, path: Trajectory, y: Tensor | None) -> dict[str, Tensor]:
    """Reconstruct images from their noise, (B, c, H, W) each.

    Args:
        model: a learned reverse, see `biflow.recipes.Recipe`.
        path: the images' trajectory in the flow.
        y: class ids (B,), or None.

    Returns:
        reconstruction: the model's output.
        denoised: a noisy output, denoised with the flow's score; missing for clean outputs.
    """
    images = {"reconstruction": flow.to_images(model(path.z, y))}
    if model.spec.output == "noisy":
        images["denoised"] = denoise(flow, images["reconstruction"], y)
    return images


def reconstruction_errors(images: dict[str, Tensor], flow: TarFlow, path: Trajectory) -> dict[str, Tensor]:
    """Return the MSE of every image of `reconstruct`, (B,), in [-1, 1] units squared.

    Returns:
        reconstruction_mse: of the output against the clean image, also for noisy outputs.
        denoised_mse: of the denoised output against the clean image; missing for clean outputs.
        noisy_mse: of a noisy output against the noisy image; missing for clean outputs.
    """

    def mse(a: Tensor, tokens: Tensor) -> Tensor:
        return (a - flow.to_images(tokens)).square().flatten(1).mean(dim=1)

    errors = {f"{name}_mse": mse(found, path.clean) for name, found in images.items()}
    if "denoised" in images:
        errors["noisy_mse"] = mse(images["reconstruction"], path.states[-1])
    return errors
