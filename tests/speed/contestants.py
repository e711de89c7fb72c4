"""Flows and inverses that are measured against each other; see test_inverse_ratios.py."""

from typing import Protocol

import torch
from published_loop import PublishedLoop
from torch import Tensor, nn

from baselines import TarFlow, TarFlowSpec
from baselines.tarflow.jacobi import Jacobi
from baselines.tarflow.sequential import Sequential
from baselines.tarflow.static import SequentialStatic
from nfbench.data.noise import balanced_labels, latent_noise
from nfbench.sample.sampler import Sampled

TAU = 1e-4


class Contestant(Protocol):
    """All that is asked of one."""

    def sample(self, z: Tensor, y: Tensor | None, guidance: float = 0.0) -> Sampled: ...


def random_flow(image_size: int) -> TarFlow:
    """Return a flow with random weights that is not the identity; image_size in pixels, a multiple of 2."""
    spec = TarFlowSpec(
        channels=1,
        image_size=image_size,
        patch_size=2,
        width=64,
        blocks=4,
        layers_per_block=2,
        head_dim=32,
        n_classes=10,
        clip=3.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        flow = TarFlow(spec)
        for block in flow.blocks:
            nn.init.normal_(block.proj_out.weight, std=0.02)
    return flow.eval().requires_grad_(False)


def exact_inverses(flow: TarFlow) -> dict[str, Contestant]:
    """Return the inverses that take one token at a time."""
    return {
        "published": PublishedLoop(flow),
        "sequential": Sequential(flow),
        "static": SequentialStatic(flow),
    }


def jacobi_inverses(flow: TarFlow) -> dict[str, Contestant]:
    """Return Jacobi as it is, Jacobi that sweeps the whole batch to its end, and the exact inverse."""
    return {
        "batch-wide": Jacobi(flow, tau=TAU, batch_wide=True),
        "jacobi": Jacobi(flow, tau=TAU),
        "static": SequentialStatic(flow),
    }


def inputs(flow: TarFlow, batch_size: int, device: str) -> tuple[Tensor, Tensor | None]:
    """Return noise (B, T, D) and classes (B,), the latter None for an unconditional flow."""
    shape, n_classes = (flow.spec.n_tokens, flow.spec.token_dim), flow.spec.n_classes
    z = latent_noise(0, range(batch_size), shape).float().to(device)
    return z, None if n_classes is None else balanced_labels(range(batch_size), n_classes).to(device)
