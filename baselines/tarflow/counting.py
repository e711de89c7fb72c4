"""Counts of network evaluations, taken where they happen, so that no sampler's cost is a formula."""

from dataclasses import dataclass

from torch import Tensor

from baselines.tarflow.model import Block, KeysValues


@dataclass
class Count:
    """Evaluations of single blocks, one an image and pass, and the tokens they evaluated.

    An image that has converged and left the batch costs nothing from then on, so both are sums over
    images; guidance, which needs two evaluations, counts twice.
    """

    evaluations: int = 0
    tokens: int = 0

    def add(self, images: int, tokens: int) -> None:
        """Count one call of a block on a number of images, of as many tokens each."""
        self.evaluations += images
        self.tokens += images * tokens


class CountedBlock:
    """A flow block that counts each prediction asked of it."""

    def __init__(self, block: Block, count: Count):
        self.block, self.count = block, count
        self.order = block.order

    def predict(
        self,
        x: Tensor,
        y: Tensor | None,
        past: list[KeysValues] | None = None,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, list[KeysValues]]:
        """Predict and count one call; see `Block.predict`."""
        self.count.add(*x.shape[:2])
        return self.block.predict(x, y, past, temperature)
