"""Images that went through the flow to noise and back through a learned reverse, and their errors."""

from torch import Tensor, nn

from baselines.tarflow.denoise import denoise
from baselines.tarflow.model import TarFlow
from biflow.objectives import Trajectory


def reconstruct(model: nn.Module, flow: TarFlow, path: Trajectory, y: Tensor | None) -> dict[str, Tensor]:
    """Return what becomes of images on the way back, (B, c, H, W) each.

    Args:
        model: a learned reverse, see `biflow.recipes.Recipe`.
        path: the images' way through the flow.
        y: class ids (B,), or None.

    Returns:
        reconstruction: the model's output.
        denoised: a noisy output, denoised with the flow's score; not there for clean outputs.
    """
    images = {"reconstruction": flow.to_images(model(path.z, y))}
    if model.spec.output == "noisy":
        images["denoised"] = denoise(flow, images["reconstruction"], y)
    return images


def reconstruction_errors(images: dict[str, Tensor], flow: TarFlow, path: Trajectory) -> dict[str, Tensor]:
    """Return the MSE of every image of `reconstruct`, (B,), in [-1, 1] units squared.

    Returns:
        reconstruction_mse: of the output against the clean image, also where the output is noisy.
        denoised_mse: of a noisy output, denoised, against the clean image; not there for clean outputs.
        noisy_mse: of a noisy output against the noisy image; not there for clean outputs.
    """
    errors = {f"{name}_mse": _mse(found, flow.to_images(path.clean)) for name, found in images.items()}
    if "denoised" in images:
        errors["noisy_mse"] = _mse(images["reconstruction"], flow.to_images(path.states[-1]))
    return errors


def _mse(images: Tensor, target: Tensor) -> Tensor:
    return (images - target).square().flatten(1).mean(dim=1)
