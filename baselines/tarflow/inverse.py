"""Base classes of the inverses of a TARFlow: noise to images, block by block, evaluations counted."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from baselines.tarflow.cost import Count
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.model import TarFlow
from baselines.tarflow.prepared import PreparedFlow
from nfbench.runtime import checked_precision, in_precision, no_attention_plans
from nfbench.sample.sampler import Sampled


@dataclass(frozen=True)
class Inverted:
    """Tokens before a block, and how many iterations it took to find them.

    Attributes:
        tokens: the block's input in raster order, (B, T, D).
        iterations: fixed-point iterations over the block, summed over its modules, of every image, (B,); None
            where there are none.
    """

    tokens: Tensor
    iterations: Tensor | None = None


class FlowInverse(ABC):
    """An inverse of a flow that needs no training; subclasses say how one block is inverted.

    Options: `precision`, "bf16" for matmuls in bfloat16 and not in the weights' own precision; and those of
    `Guidance`, which matter only with a guidance scale above 0.
    """

    name: str

    def __init__(
        self,
        flow: TarFlow,
        precision: str = "fp32",
        guide: str = "ab",
        annealed: bool = False,
        attention_temperature: float = 1.0,
    ):
        self.flow = flow
        self.precision = checked_precision(precision, self.name)
        self.guidance_options = {
            "guide": guide,
            "annealed": annealed,
            "attention_temperature": attention_temperature,
        }
        Guidance(0.0, **self.guidance_options)  # refuses a bad option at once
        self._prepare()

    def _prepare(self) -> None:
        """Make what is evaluated: `network`, the flow, or a copy of it with weights in bfloat16."""
        self.network = in_precision(
            self.flow, self.precision, lambda flow: [block.attn_blocks for block in flow.blocks]
        )

    @property
    def latent_shape(self) -> tuple[int, int]:
        return self.flow.spec.n_tokens, self.flow.spec.token_dim

    @property
    def n_classes(self) -> int | None:
        return self.flow.spec.n_classes

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.flow.parameters())

    @property
    def settings(self) -> dict[str, Any]:
        """The options in effect, as plain values."""
        return self.guidance_options | ({"precision": "bf16"} if self.precision == "bf16" else {})

    def flops_per_image(self, guidance: float = 0.0) -> int | None:
        """Return the FLOPs of one image; None where they depend on the data, as of iterative inverses."""
        return None

    def to(self, device: torch.device) -> Self:
        self.flow.to(device)
        self._prepare()
        return self

    @abstractmethod
    def invert_block(
        self, index: int, z: Tensor, y: Tensor | None, guidance: Guidance, count: Count
    ) -> Inverted:
        """Invert block `index` of the flow.

        Args:
            z: the block's output in raster order, (B, T, D); not changed.
            y: class ids (B,), -1 for no class, or None.
            count: where every evaluation of the network is counted.
        """

    def invert(
        self, z: Tensor, y: Tensor | None, guidance: Guidance, count: Count
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """Return x_0, ..., x_{K-1} of unit-variance noise z, tokens (B, T, D) each, and iterations per block.

        To be called in `torch.inference_mode`.
        """
        states, iterations = [z * self.flow.var.sqrt()], []
        with no_attention_plans():
            for index in reversed(range(self.flow.spec.blocks)):
                inverted = self.invert_block(index, states[-1], y, guidance, count)
                states.append(inverted.tokens)
                iterations.append(inverted.iterations)
        return states[:0:-1], iterations[::-1]

    def sample(self, z: Tensor, y: Tensor | None, guidance: float = 0.0) -> Sampled:
        """Invert the flow block by block; see `nfbench.sample.sampler.Sampler`."""
        count = Count()
        with torch.inference_mode():
            states, iterations = self.invert(z, y, Guidance(guidance, **self.guidance_options), count)
            images = self.flow.to_images(states[0])
        iterative = any(block is not None for block in iterations)
        return Sampled(
            images=images.clone(),  # outside, so that a caller may differentiate through what follows
            nfe=count.evaluations / (self.flow.spec.blocks * len(z)),
            token_steps=count.tokens / len(z),
            iterations=[block.double().mean().item() for block in iterations] if iterative else None,
        )


class PreparedInverse(FlowInverse):
    """An inverse that evaluates prepared blocks, which copy the flow's weights when it is made or moved.

    It keeps its workspace from call to call, so one sampler serves one thread. Options: those of
    `FlowInverse`.
    """

    def _prepare(self) -> None:
        self.prepared = PreparedFlow(self.flow, torch.bfloat16 if self.precision == "bf16" else None)
