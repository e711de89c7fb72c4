"""Classifier-free guidance of the exact and iterative inverses (arXiv:2412.06329, section 2.5)."""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

GUIDES = ("ab", "a", "b")
Position = TypeVar("Position", int, Tensor)


@dataclass(frozen=True)
class Guidance:
    """Which parts of a block's prediction move away from the unconditional one, and how far.

    a <- a + g (a - a_u), and m likewise, with g = w, or w i / (T - 1) for token i when annealed.

    Attributes:
        scale: w; 0 for no guidance.
        guide: which parts are guided: "a" the log-scale, "b" the shift, "ab" both.
        annealed: let the scale grow with the token's position, as the published evaluation does.
        attention_temperature: divides the attention logits of the unconditional prediction.
    """

    scale: float = 0.0
    guide: str = "ab"
    annealed: bool = False
    attention_temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.guide not in GUIDES:
            raise ValueError(f"guide is {self.guide!r}; it must be one of {', '.join(GUIDES)}")
        if self.scale < 0:
            raise ValueError(f"guidance is {self.scale}; it must not be negative")
        if self.attention_temperature <= 0:
            raise ValueError(f"attention_temperature is {self.attention_temperature}; it must be > 0")

    def at(self, token: Position, n_tokens: int) -> Position | float:
        """Return g for the token at a position of the block's own order."""
        return self.scale * token / (n_tokens - 1) if self.annealed else self.scale

    def combine(
        self,
        conditional: tuple[Tensor, Tensor],
        unconditional: tuple[Tensor, Tensor],
        g: float | Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Extrapolate (a, m) from the unconditional to beyond the conditional prediction."""
        (a, m), (a_u, m_u) = conditional, unconditional
        if "a" in self.guide:
            a = a + g * (a - a_u)
        if "b" in self.guide:
            m = m + g * (m - m_u)
        return a, m

    def guidance_weights(self, n_tokens: int, like: Tensor) -> Tensor | None:
        """Return 1 + g for the token after each of the tokens 0..T-1, (T, 1); None without guidance.

        The last row has no token after it and is never used.
        """
        if self.scale == 0:
            return None
        tokens = torch.arange(1, n_tokens + 1, dtype=torch.float64, device=like.device)
        g = self.at(tokens, n_tokens) if self.annealed else torch.full_like(tokens, self.scale)
        return (1 + g.to(like.dtype))[:, None]
