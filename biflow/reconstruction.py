"""Errors of images that went through the flow to noise and back through a learned reverse."""

from torch import Tensor, nn

from baselines.tarflow.denoise import denoise
from baselines.tarflow.model import TarFlow
from biflow.objectives import Trajectory
from nfbench.data.tokens import images_to_tokens


def reconstruction_errors(
    model: nn.Module, flow: TarFlow, path: Trajectory, y: Tensor | None
) -> dict[str, Tensor]:
    """Return the MSE of every image, (B,), in [-1, 1] units squared.

    Args:
        model: a learned reverse, see `biflow.recipes.Recipe`.
        path: the images' way through the flow.
        y: class ids (B,), or None.

    Returns:
        reconstruction_mse: of the output against the clean image, also where the output is noisy.
        noisy_mse: of a noisy output against the noisy image; not there for clean outputs.
        denoised_mse: of a noisy output, denoised with the flow's score, against the clean image; not there
            for clean outputs.
    """
    output = model(path.z, y)
    errors = {"reconstruction_mse": _mse(output, path.clean)}
    if model.spec.output == "noisy":
        denoised = denoise(flow, flow.to_images(output), y)
        errors["noisy_mse"] = _mse(output, path.states[-1])
        errors["denoised_mse"] = _mse(images_to_tokens(denoised, flow.spec.patch_size), path.clean)
    return errors


def _mse(tokens: Tensor, target: Tensor) -> Tensor:
    return (tokens - target).square().mean(dim=(1, 2))
