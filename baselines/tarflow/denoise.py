"""Score-based denoising: one step of Tweedie's formula with the flow's own density."""

from typing import Any

import torch
from torch import Tensor

from baselines.tarflow.cost import denoise_flops
from baselines.tarflow.model import TarFlow
from nfbench.sample.sampler import Sampled, Sampler


def denoise(
    flow: TarFlow, x: Tensor, y: Tensor | None, strength: float = 1.0, sigma: float | None = None
) -> Tensor:
    """Move noisy samples to the mean of the clean images they may come from.

    x + strength sigma^2 grad log p(x | y), per image, without guidance; arXiv:2412.06329, eq. 9.

    Args:
        flow: models the density of images with noise sigma.
        x: noisy images, (B, c, H, W).
        y: class ids (B,), or None.
        strength: lambda; 1 is the posterior mean.
        sigma: noise to remove; by default the flow's own.

    Returns:
        Denoised images, (B, c, H, W); each depends on its own noisy image alone.
    """
    sigma = flow.spec.sigma if sigma is None else sigma
    with torch.enable_grad():
        noisy = x.detach().requires_grad_(True)
        code = flow.encode(noisy, y)
        prior = code.z.square() / flow.var if flow.spec.volume_preserving else code.z.square()
        # Per image, log p = -T D (1/2 mean z^2 - logdet) + constant; the sum keeps images apart.
        log_density = (code.logdet - 0.5 * prior.mean(dim=(1, 2))).sum() * x[0].numel()
        (score,) = torch.autograd.grad(log_density, noisy)
    return x + strength * sigma**2 * score


class Denoised:
    """A sampler whose noisy output is denoised with the score of the flow that it inverts or learned from."""

    def __init__(self, sampler: Sampler, flow: TarFlow, strength: float = 1.0):
        self.sampler, self.flow, self.strength = sampler, flow, strength
        self.name = f"{sampler.name}+denoise"

    @property
    def latent_shape(self) -> tuple[int, int]:
        return self.sampler.latent_shape

    @property
    def n_classes(self) -> int | None:
        return self.sampler.n_classes

    @property
    def n_parameters(self) -> int:
        if getattr(self.sampler, "flow", None) is self.flow:  # an inverse evaluates this same network
            return self.sampler.n_parameters
        return self.sampler.n_parameters + sum(p.numel() for p in self.flow.parameters())

    @property
    def settings(self) -> dict[str, Any]:
        return self.sampler.settings | {"strength": self.strength}

    def flops_per_image(self, guidance: float = 0.0) -> int | None:
        """Return the FLOPs of one image; None where those of the sampler depend on the data."""
        own = getattr(self.sampler, "flops_per_image", lambda guidance: None)(guidance)
        return None if own is None else own + denoise_flops(self.flow.spec)

    def to(self, device: torch.device) -> "Denoised":
        self.sampler.to(device)
        self.flow.to(device)
        return self

    def sample(self, z: Tensor, y: Tensor | None, guidance: float = 0.0) -> Sampled:
        """Sample, then denoise; the gradient step is counted beside the sampler's evaluations."""
        out = self.sampler.sample(z, y, guidance)
        images = denoise(self.flow, out.images, y, self.strength)
        return out.replace(images=images, score_evaluations=out.score_evaluations + 1)
