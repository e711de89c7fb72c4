"""A training step restated plainly, to measure against: that of the flow is as published, arXiv:2412.06329.

As in the published training code: weights in fp32 under autocast, attention through a mask of T x T, batches
that come from the host, AdamW, nothing compiled, and the loss is read at every step.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.tarflow.model import TarFlow
from nfbench.data.datasets import Dataset
from nfbench.data.pixels import to_float
from nfbench.data.tokens import images_to_tokens
from nfbench.runtime import autocast

LABEL_DROP = 0.1

Loss = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]


def flow_loss(flow: TarFlow, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return the negative log-likelihood of noisy images in nats per dimension, less 1/2 ln 2 pi."""
    x = to_float(images)
    x = x + flow.spec.sigma * torch.randn(x.shape, device=x.device, generator=generator)
    dropped = torch.rand(labels.shape, device=labels.device, generator=generator) < LABEL_DROP
    return negative_log_likelihood(flow, x, torch.where(dropped, -1, labels))


def negative_log_likelihood(flow: TarFlow, x: Tensor, y: Tensor) -> Tensor:
    """Return the loss of images (B, c, H, W) and classes (B,)."""
    u = images_to_tokens(x, flow.spec.patch_size)
    mask = torch.ones(u.shape[1], u.shape[1], dtype=torch.bool, device=u.device).tril()
    logdet = 0.0
    for block in flow.blocks:
        u = block.order(u)
        h = block.proj_in(u) + block.order(block.pos_embed[None]) + block.condition(y)
        for layer in block.attn_blocks:
            attended = F.scaled_dot_product_attention(*layer.attention.split(h), attn_mask=mask)
            h = h + layer.attention.merge(attended)
            h = h + layer.mlp(h)
        a, m = block.split_outputs(block.proj_out(h), u)
        a, m = (torch.cat([torch.zeros_like(p[:, :1]), p[:, :-1]], dim=1) for p in (a, m))
        u = block.order((u - m) * torch.exp(-a))
        logdet = logdet - a.mean()
    return 0.5 * u.square().mean() - logdet


class PublishedStep:
    """Trains a model step by step; a call is one step and returns its loss.

    Args:
        loss: (model, uint8 images, labels, generator) to a scalar.
        dataset: stays on the host.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        dataset: Dataset,
        batch_size: int,
        device: torch.device,
        precision: str,
    ):
        self.model, self.loss, self.batch_size = model.train(), loss, batch_size
        self.device, self.precision = device, precision
        self.images, self.labels = map(torch.from_numpy, (dataset.images, dataset.labels))
        self.generator = torch.Generator(device).manual_seed(0)
        trainable = [p for p in model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(trainable, lr=1e-4, betas=(0.9, 0.95), weight_decay=1e-4)

    def __call__(self) -> float:
        chosen = torch.randint(len(self.images), (self.batch_size,))
        images, labels = self.images[chosen].to(self.device), self.labels[chosen].to(self.device)
        self.optimiser.zero_grad()
        with autocast(self.device, self.precision):
            loss = self.loss(self.model, images, labels, self.generator)
        loss.backward()
        self.optimiser.step()
        return loss.item()
