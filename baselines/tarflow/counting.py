"""Counting network evaluations where they happen, so that no sampler's cost is a formula."""

from dataclasses import dataclass

from torch import Tensor

from baselines.tarflow.model import Block, KeysValues, TarFlow


@dataclass
class Count:
    """Serial evaluations of single blocks (`calls`), and the tokens each was asked for."""

    calls: int = 0
    token_steps: int = 0


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
        self.count.calls += 1
        self.count.token_steps += x.shape[1]
        return self.block.predict(x, y, past, temperature)


def counted(flow: TarFlow) -> tuple[list[CountedBlock], Count]:
    """Return a flow's blocks, wrapped, and the one count they share."""
    count = Count()
    return [CountedBlock(block, count) for block in flow.blocks], count
