"""Selective Jacobi decoding, SeJD (arXiv:2505.24791): only the hard first inverted block sequentially."""

from dataclasses import asdict
from typing import Any

from torch import Tensor

from baselines.tarflow.counting import Count
from baselines.tarflow.fixed_point import FixedPoint
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.inverse import Inverted
from baselines.tarflow.jacobi import invert_by_modules, sweep_per_token
from baselines.tarflow.model import TarFlow
from baselines.tarflow.static import SequentialStatic

PUBLISHED_TOLERANCE = 0.5


class SelectiveJacobi(SequentialStatic):
    """Token by token through the block next to the noise, Jacobi from zeros through the others.

    Options: those of `FixedPoint`, tolerance being 0.5 and init zeros, and those of `Guidance`.
    """

    name = "selective-jacobi"

    def __init__(
        self,
        flow: TarFlow,
        tolerance: float = PUBLISHED_TOLERANCE,
        max_iterations: int | None = None,
        init: str = "zeros",
        clamp: float | None = None,
        batch_wide: bool = False,
        check_every: int | None = None,
        **guidance_options: Any,
    ):
        super().__init__(flow, **guidance_options)
        self.options = FixedPoint(tolerance, max_iterations, init, clamp, batch_wide, check_every=check_every)

    def flops_per_image(self, guidance: float = 0.0) -> None:
        """Return None: how many iterations a block takes depends on the data."""

    @property
    def settings(self) -> dict[str, Any]:
        return super().settings | asdict(self.options)

    def invert_block(
        self, index: int, z: Tensor, y: Tensor | None, guidance: Guidance, count: Count
    ) -> Inverted:
        if index == self.flow.spec.blocks - 1:
            return sweep_per_token(super().invert_block(index, z, y, guidance, count))
        net = self.prepared.network(index, y, guidance, len(z), count)
        return invert_by_modules(net, z, 1, self.options)
