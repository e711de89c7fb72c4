"""The exact inverse, one token at a time, with a growing cache: as published (arXiv:2412.06329)."""

import torch
from torch import Tensor

from baselines.tarflow.counting import Count, CountedBlock, counted
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.model import TarFlow
from nfbench.sample.sampler import Sampled


def invert_block(block: CountedBlock, z: Tensor, y: Tensor | None, guidance: Guidance) -> Tensor:
    """Invert one block: x_{i+1} = z_{i+1} exp(a_i) + m_i, i = 0..T-2, starting from x_0 = z_0.

    Args:
        block: the block, in whose own order the tokens are solved.
        z: the block's output in raster order, (B, T, D); not changed.
        y: class ids (B,), or None.

    Returns:
        The block's input in raster order, (B, T, D).
    """
    z = block.order(z)
    n_tokens = z.shape[1]
    solved = [z[:, :1]]
    past, past_unconditional = None, None
    for i in range(n_tokens - 1):
        a, m, past = block.predict(solved[-1], y, past)
        if guidance.scale > 0:
            a_u, m_u, past_unconditional = block.predict(
                solved[-1], None, past_unconditional, guidance.attention_temperature
            )
            strength = guidance.at(i + 1, n_tokens)
            a, m = guidance.combine((a, m), (a_u, m_u), strength)
        solved.append(z[:, i + 1 : i + 2] * torch.exp(a) + m)
    return block.order(torch.cat(solved, dim=1))


def invert(flow: TarFlow, z: Tensor, y: Tensor | None, guidance: Guidance) -> tuple[list[Tensor], Count]:
    """Return x_0, ..., x_{K-1} of unit-variance noise z, tokens (B, T, D) each, and what it took."""
    blocks, count = counted(flow)
    states = [z * flow.var.sqrt()]
    for block in reversed(blocks):
        states.append(invert_block(block, states[-1], y, guidance))
    return states[:0:-1], count


class Sequential:
    """Exact inverse of a TARFlow: K (T - 1) serial token steps.

    Options are those of `Guidance`; they matter only where a guidance scale is asked for.
    """

    name = "sequential"

    def __init__(
        self,
        flow: TarFlow,
        guide: str = "ab",
        annealed: bool = False,
        attention_temperature: float = 1.0,
    ):
        self.flow = flow
        self.guidance_options = {
            "guide": guide,
            "annealed": annealed,
            "attention_temperature": attention_temperature,
        }
        Guidance(0.0, **self.guidance_options)  # a bad option is told at once

    @property
    def latent_shape(self) -> tuple[int, int]:
        return self.flow.spec.n_tokens, self.flow.spec.token_dim

    @property
    def n_classes(self) -> int | None:
        return self.flow.spec.n_classes

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.flow.parameters())

    def to(self, device: torch.device) -> "Sequential":
        self.flow.to(device)
        return self

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor | None, guidance: float = 0.0) -> Sampled:
        """Invert the flow block by block; see `nfbench.sample.sampler.Sampler`."""
        settings = Guidance(guidance, **self.guidance_options)
        states, count = invert(self.flow, z, y, settings)
        return Sampled(
            images=self.flow.to_images(states[0]),
            nfe=count.calls / self.flow.spec.blocks,
            token_steps=count.token_steps,
        )
