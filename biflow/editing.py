"""Inpainting and class editing through the flow's noise, without training (arXiv:2512.10953).

Both encode an image with the frozen flow, z = F(x + sigma eps | y), change z or the label, and decode with
any sampler: the learned reverse in one evaluation, or an exact inverse. Samplers do not reproduce the known
pixels exactly; `paste` restores them.
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
    """Standard normal noise for inpainting a batch.

    Attributes:
        training: eps of x + sigma eps, as in the flow's training, (B, c, H, W).
        hidden: replaces the hidden pixels, (B, c, H, W).
        redrawn: replaces the noise of tokens with hidden pixels, (B, T, D).
    """

    training: Tensor
    hidden: Tensor
    redrawn: Tensor


@torch.no_grad()
def inpaint(
    flow: TarFlow, sampler: Sampler, images: Tensor, hidden: Tensor, y: Tensor | None, noise: InpaintingNoise
) -> Tensor:
    """Inpaint hidden pixels, whose values do not influence the result.

    Known pixels get the flow's training noise; hidden pixels are replaced by N(0, 1). The paper does not
    specify this noise. Ours is that of the prior and was not tuned; smaller noise gave lower errors where we
    tried it. The noise of the flow is then mixed per token, z' = M z + (1 - M) eps, with M = 1 where all
    pixels of a token are known, and the sampler decodes z'.

    This is the paper's method, not a sample from the flow's conditional density: the blocks of F alternate
    direction, so that after two blocks the noise of every known token depends on the replaced pixels, and
    decoded known pixels depend on redrawn tokens.

    Args:
        flow: F.
        sampler: decodes; its noise must have the flow's shape.
        images: in [-1, 1], (B, c, H, W), without training noise.
        hidden: True where hidden, bool, (H, W) for all images or (B, 1, H, W).
        y: class ids (B,), -1 for no class; None means -1 for all.
        noise: of the images' dtype.

    Returns:
        Images (B, c, H, W), not clamped; known pixels are decoded too.

    Raises:
        UserError: an argument does not fit the flow, or an image has no completely known token.
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
    """Return which tokens have no hidden pixel, bool, (B, T), or (1, T) for one mask of all images.

    Raises:
        UserError: the mask has a wrong dtype or shape, or an image has no completely known token.
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
            f" {first} completely known; hide less, or draw a sample."
        )
    return known


def paste(images: Tensor, result: Tensor, hidden: Tensor) -> Tensor:
    """Copy the known pixels of `images` into an inpainted result, (B, c, H, W) both."""
    return torch.where(hidden, result, images)


@torch.no_grad()
def edit_class(
    flow: TarFlow, sampler: Sampler, images: Tensor, y_from: Tensor, y_to: Tensor, noise: Tensor
) -> Tensor:
    """Change the class of images: encode z = F(x + sigma eps | y_from) and decode it given y_to.

    Args:
        flow: F.
        sampler: decodes; its noise must have the flow's shape.
        images: in [-1, 1], (B, c, H, W), without training noise.
        y_from: the images' own class ids (B,), -1 for no class.
        y_to: the new class ids, (B,).
        noise: eps, standard normal, of the images' shape and dtype.

    Returns:
        Images (B, c, H, W), not clamped.

    Raises:
        UserError: the flow or the sampler is unconditional, or an argument does not fit the flow.
    """
    for what, n_classes in (("flow", flow.spec.n_classes), (f"sampler '{sampler.name}'", sampler.n_classes)):
        if n_classes is None:
            raise UserError(f"The {what} is unconditional; class editing needs one with classes.")
    _check(flow, sampler, images, {"training": noise})
    for name, y in (("y_from", y_from), ("y_to", y_to)):
        _check_classes(name, y, len(images), flow.spec.n_classes)
    return sampler.sample(unit_noise(flow, images + flow.spec.sigma * noise, y_from), y_to).images


def unit_noise(flow: TarFlow, noisy: Tensor, y: Tensor | None) -> Tensor:
    """Encode noisy images (B, c, H, W) to the input of samplers, noise of unit variance, (B, T, D)."""
    return flow.encode(noisy, y).z / flow.var.sqrt()


def _check(flow: TarFlow, sampler: Sampler, images: Tensor, noises: dict[str, Tensor]) -> None:
    """Raise a `UserError` for images, noise or a sampler that does not fit the flow."""
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
