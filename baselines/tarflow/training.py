"""Maximum-likelihood training of the forward flow (arXiv:2412.06329, section 2.3)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from baselines.tarflow.model import TarFlow, TarFlowSpec
from nfbench.config import FlowConfig
from nfbench.data.datasets import Dataset, Splits
from nfbench.data.noise import latent_noise, uniform_noise
from nfbench.data.pixels import dequantise, to_float
from nfbench.errors import UserError
from nfbench.measure.likelihood import bits_per_dim, nll_nats_per_dim

VALIDATION_IMAGES = 1000


def flow_spec(config: FlowConfig, splits: Splits) -> TarFlowSpec:
    """Return the architecture of an experiment's flow, sized by its images.

    Raises:
        UserError: the patches do not tile the images.
    """
    channels, image_size, n_classes = splits.channels, splits.image_size, splits.n_classes
    return spec_for(config, channels, image_size, n_classes)


def spec_for(config: FlowConfig, channels: int, image_size: int, n_classes: int | None) -> TarFlowSpec:
    """Return the architecture of a flow for images of a given shape; errors as of `flow_spec`."""
    if image_size % config.patch_size:
        raise UserError(
            f"'patch_size' {config.patch_size} does not divide the {image_size} pixels of the images; change"
            " it under 'flows'."
        )
    return TarFlowSpec(
        channels=channels,
        image_size=image_size,
        patch_size=config.patch_size,
        width=config.width,
        blocks=config.blocks,
        layers_per_block=config.layers,
        head_dim=config.head_dim,
        n_classes=n_classes,
        clip=config.clip,
        sigma=config.sigma,
    )


def new_flow(spec: TarFlowSpec, seed: int) -> TarFlow:
    """Return a flow to be trained, as published but for residual branches that start at zero.

    Every layer is then the identity at first (arXiv:1901.09321), as in the reverse model, and training takes
    fewer steps to the same likelihood.
    """
    torch.manual_seed(seed)
    flow = TarFlow(spec)
    for block in flow.blocks:
        for layer in block.attn_blocks:
            for last in (layer.attention.proj, layer.mlp.main[-1]):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
    return flow


def drop_labels(labels: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Set each label to -1, "no class", with a probability, (B,) to (B,)."""
    drawn = torch.rand(labels.shape, device=labels.device, generator=generator)
    return torch.where(drawn < probability, -1, labels)


def add_noise(images: Tensor, sigma: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return clean images in [-1, 1] and the same plus sigma N(0, 1), from uint8 (B, c, H, W)."""
    x = to_float(images)
    noise = torch.randn(x.shape, device=x.device, generator=generator)
    return x, x + sigma * noise


def likelihood_loss(
    class_dropout_prob: float,
) -> Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]:
    """Return the training loss: NLL of noisy images, labels dropped with the given probability."""

    def loss(flow: TarFlow, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        _, noisy = add_noise(images, flow.spec.sigma, generator)
        code = flow(noisy, drop_labels(labels, class_dropout_prob, generator))
        if flow.spec.volume_preserving:
            flow.update_prior(code.z.detach())
        return flow.loss(code)

    return loss


def held_out_nll(flow: TarFlow, data: Dataset, batch_size: int = 100, seed: int = 0) -> Tensor:
    """Return the NLL per image, (N,), in nats per dimension with 1/2 ln 2 pi, at the training noise.

    Image i's noise depends on the seed and i alone, so that every flow is given the same images.
    """

    def noisy(images: Tensor, indices: range) -> Tensor:
        x = to_float(images)
        noise = latent_noise(seed, indices, x.shape[1:], stream="forward-noise").to(x.dtype)
        return x + flow.spec.sigma * noise

    return _held_out(flow, data, batch_size, noisy, nll_nats_per_dim)


def held_out_bits(flow: TarFlow, data: Dataset, batch_size: int = 100, seed: int = 0) -> Tensor:
    """Return the bits per dimension of each clean image, (N,), uniformly dequantised.

    Image i's u depends on the seed and i alone. For a flow trained with Gaussian noise see `bits_limit`.
    """

    def spread(images: Tensor, indices: range) -> Tensor:
        return dequantise(images, uniform_noise(seed, indices, images.shape[1:]).float())

    return _held_out(flow, data, batch_size, spread, bits_per_dim)


@torch.no_grad()
def _held_out(
    flow: TarFlow,
    data: Dataset,
    batch_size: int,
    prepare: Callable[[Tensor, range], Tensor],
    measure: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Tensor:
    """Return a likelihood per image, (N,): `measure` of the flow's code of prepared 8-bit images."""
    device = flow.var.device
    per_image = []
    for start in range(0, len(data), batch_size):
        indices = range(start, min(len(data), start + batch_size))
        images, labels = (
            torch.from_numpy(part[indices.start : indices.stop].copy()) for part in (data.images, data.labels)
        )
        code = flow.encode(prepare(images, indices).to(device), labels.to(device))
        per_image.append(measure(code.z, code.logdet, flow.var).cpu())
    return torch.cat(per_image)


def validation_measure(data: Dataset) -> Callable[[nn.Module], dict[str, float]]:
    """Return the function that training evaluates: NLL on the first images of the validation split."""
    head = data.subset(range(min(VALIDATION_IMAGES, len(data))))
    return lambda flow: {"validation_nll_nats_per_dim": held_out_nll(flow, head).mean().item()}


@torch.no_grad()
def state_rms(flow: TarFlow, data: Dataset, seed: int = 0) -> list[float]:
    """Return the RMS of x_0 (the noisy image) and of the state after each block, K + 1 numbers."""
    device = flow.var.device
    generator = torch.Generator().manual_seed(seed)
    images = torch.from_numpy(data.images[:VALIDATION_IMAGES])
    _, noisy = add_noise(images, flow.spec.sigma, generator)
    code = flow.encode(noisy.to(device), torch.from_numpy(data.labels[:VALIDATION_IMAGES]).to(device))
    return [state.square().mean().sqrt().item() for state in (noisy, *code.states)]
