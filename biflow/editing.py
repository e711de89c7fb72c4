"""Uses of an inverse without training: inpainting and class editing through the flow's noise.

Both send an image through the frozen flow to its noise, z = F(x + sigma eps | y), change something there
or in the label, and come back with any sampler: the learned reverse in one evaluation (arXiv:2512.10953),
or an exact inverse. No sampler gives back the known pixels exactly; `paste` puts them there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.tarflow.model import TarFlow
from nfbench.data.tokens import images_to_tokens
from nfbench.errors import UserError
from nfbench.sample.sampler import Sampler


@dataclass(frozen=True)
class InpaintingNoise:
    """All that is random about inpainting a batch, standard normal.

    Attributes:
        training: eps of x + sigma eps, what the flow's training images carried, (B, c, H, W).
        hidden: stands in place of the hidden pixels, (B, c, H, W).
        redrawn: stands in place of the noise of tokens that are not wholly known, (B, T, D).
    """

    training: Tensor
    hidden: Tensor
    redrawn: Tensor


@torch.no_grad()
def inpaint(
    flow: TarFlow, sampler: Sampler, images: Tensor, hidden: Tensor, y: Tensor | None, noise: InpaintingNoise
) -> Tensor:
    """Fill hidden pixels in; nothing of them reaches the result.

    Known pixels get the flow's training noise, hidden ones are replaced by noise of unit scale in pixel
    units, N(0, 1), neither clipped nor scaled: the paper does not say which noise, and this is the flow's
    own prior, about as wide as the pixels' range. It was not tuned: smaller noise lies nearer to what the
    flow was trained on, and cost less error where we tried it. Then z' = M z + (1 - M) eps token by token,
    with M = 1 where all pixels of a token are known (a token with any hidden pixel is redrawn), and the
    sampler maps z' to images. That is the paper's recipe, not a draw from the flow's conditional density: F
    is autoregressive in both directions in turn, so that after two blocks the noise of every known token
    depends on what replaced the hidden pixels, and on the way back known pixels on the redrawn tokens.

    Args:
        flow: F.
        sampler: the way back; it must take the flow's noise.
        images: in [-1, 1], (B, c, H, W), without training noise.
        hidden: True where hidden, bool, (H, W) for all images or (B, 1, H, W).
        y: class ids (B,), -1 for no class; None is -1 for all.
        noise: of the images' dtype.

    Returns:
        Images (B, c, H, W), not clamped; the known pixels too are the sampler's.

    Raises:
        UserError: something does not fit the flow, or an image has no token that is wholly known.
    """
    _check(flow, sampler, images, {"training": noise.training, "hidden": noise.hidden})
    if y is not None and flow.spec.n_classes is not None:
        _check_classes("y", y, len(images), flow.spec.n_classes)
    known = known_tokens(flow, images, hidden)
    latent_shape = (len(images), *sampler.latent_shape)
    if noise.redrawn.shape != latent_shape:
        raise UserError(f"'redrawn' noise has shape {tuple(noise.redrawn.shape)}; it must be {latent_shape}.")
    noisy = torch.where(hidden, noise.hidden, images + flow.spec.sigma * noise.training)
    z = torch.where(known[:, :, None], unit_noise(flow, noisy, y), noise.redrawn)
    return sampler.sample(z, y).images


def known_tokens(flow: TarFlow, images: Tensor, hidden: Tensor) -> Tensor:
    """Tell which tokens have known pixels alone, bool, (B, T), or (1, T) of one mask for all images.

    Raises:
        UserError: the mask is not bool, is of another shape, or leaves no token of an image wholly known.
    """
    batch, _, height, width = images.shape
    if hidden.dtype != torch.bool:
        raise UserError(f"The mask of hidden pixels is {hidden.dtype}; make it bool, True where hidden.")
    if hidden.shape not in ((height, width), (batch, 1, height, width)):
        raise UserError(
            f"The mask of hidden pixels has shape {tuple(hidden.shape)}; it must be {(height, width)}"
            f" or {(batch, 1, height, width)}."
        )
    masks = hidden[None, None] if hidden.ndim == 2 else hidden
    known = ~images_to_tokens(masks, flow.spec.patch_size).any(dim=2)
    if not known.any(dim=1).all():
        first = int((~known.any(dim=1)).nonzero()[0])
        raise UserError(
            f"The mask leaves no token ({flow.spec.patch_size}x{flow.spec.patch_size} pixels) of image"
            f" {first} wholly known; hide less, or draw a sample."
        )
    return known


def paste(images: Tensor, result: Tensor, hidden: Tensor) -> Tensor:
    """Put the known pixels of `images` back into an inpainted result, (B, c, H, W) both."""
    return torch.where(hidden, result, images)


@torch.no_grad()
def edit_class(
    flow: TarFlow, sampler: Sampler, images: Tensor, y_from: Tensor, y_to: Tensor, noise: Tensor
) -> Tensor:
    """Show images as if they were of other classes: z = F(x + sigma eps | y_from), back given y_to.

    Args:
        flow: F.
        sampler: the way back; it must take the flow's noise.
        images: in [-1, 1], (B, c, H, W), without training noise.
        y_from: the images' own class ids (B,), -1 for no class.
        y_to: the class ids to show them as, (B,).
        noise: eps, standard normal, like the images.

    Returns:
        Images (B, c, H, W), not clamped.

    Raises:
        UserError: the flow or the sampler knows no classes, or something does not fit the flow.
    """
    for what, n_classes in (("flow", flow.spec.n_classes), (f"sampler '{sampler.name}'", sampler.n_classes)):
        if n_classes is None:
            raise UserError(f"The {what} is unconditional; class editing needs one with classes.")
    _check(flow, sampler, images, {"training": noise})
    for name, y in (("y_from", y_from), ("y_to", y_to)):
        _check_classes(name, y, len(images), flow.spec.n_classes)
    return sampler.sample(unit_noise(flow, images + flow.spec.sigma * noise, y_from), y_to).images


def unit_noise(flow: TarFlow, noisy: Tensor, y: Tensor | None) -> Tensor:
    """Encode noisy images (B, c, H, W) to what samplers start from: noise of unit variance, (B, T, D)."""
    return flow.encode(noisy, y).z / flow.var.sqrt()


def _check(flow: TarFlow, sampler: Sampler, images: Tensor, noises: dict[str, Tensor]) -> None:
    """Refuse images, noise and samplers that do not fit the flow."""
    spec = flow.spec
    expected = (spec.channels, spec.image_size, spec.image_size)
    if images.ndim != 4 or images.shape[1:] != expected or not len(images):
        wanted = f"(B, {', '.join(map(str, expected))})"
        raise UserError(f"The flow takes images of shape {wanted}, not {tuple(images.shape)}.")
    if sampler.latent_shape != (spec.n_tokens, spec.token_dim):
        raise UserError(
            f"Sampler '{sampler.name}' takes noise of shape {sampler.latent_shape}, but the flow gives"
            f" {(spec.n_tokens, spec.token_dim)}; use one that was made for this flow."
        )
    for name, noise in noises.items():
        if noise.shape != images.shape or noise.dtype != images.dtype:
            raise UserError(
                f"'{name}' noise is {noise.dtype} of shape {tuple(noise.shape)}; it must be like the"
                f" images, {images.dtype} of shape {tuple(images.shape)}."
            )


def _check_classes(name: str, y: Tensor, n: int, n_classes: int) -> None:
    if y.shape != (n,) or y.min() < -1 or y.max() >= n_classes:
        raise UserError(f"'{name}' must hold {n} class ids in 0 .. {n_classes - 1}, or -1 for no class.")
