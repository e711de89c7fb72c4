"""GS-Jacobi (arXiv:2505.12849): hard blocks are cut into modules, solved by Jacobi one after the other."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from baselines.tarflow.counting import Count
from baselines.tarflow.fixed_point import FixedPoint
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.inverse import Inverted
from baselines.tarflow.jacobi import invert_by_modules, published_tolerance, sweep_per_token
from baselines.tarflow.model import TarFlow
from baselines.tarflow.plan import (
    BlockPlan,
    as_plan,
    choose_plan,
    difficulties,
    require_divisor,
    uniform_plan,
)
from baselines.tarflow.static import SequentialStatic
from nfbench.errors import UserError


class GSJacobi(SequentialStatic):
    """Gauss-Seidel-Jacobi inverse of a TARFlow.

    Options: those of `FixedPoint` except init, which is the plan's, tolerance being `published_tolerance` by
    default; those of `Guidance`; and where the plan comes from, the first of:

        plan: one `BlockPlan` per block, data side first, or the path of a file that holds them.
        images: training images with training noise, (B, c, H, W), to choose a plan by (`choose_plan`).

    With neither, every block is taken for hard. `modules` is how many modules a hard block is cut into. The
    plan that was chosen is in the attribute `plan`.

    Raises:
        UserError: the plan has another number of blocks, or modules that do not divide the tokens.
    """

    name = "gs-jacobi"

    def __init__(
        self,
        flow: TarFlow,
        plan: str | Path | Sequence[BlockPlan | dict[str, Any]] | None = None,
        images: Tensor | None = None,
        modules: int | None = None,
        tolerance: float | None = None,
        max_iterations: int | None = None,
        clamp: float | None = None,
        batch_wide: bool = False,
        stale_keys: bool = False,
        check_every: int | None = None,
        **guidance_options: Any,
    ):
        super().__init__(flow, **guidance_options)
        tolerance = published_tolerance(flow) if tolerance is None else tolerance
        self.options = FixedPoint(tolerance, max_iterations, "z", clamp, batch_wide, stale_keys, check_every)
        if plan is not None:
            self.plan = as_plan(plan)
        elif images is not None:
            self.plan = choose_plan(difficulties(flow, images), flow.spec.n_tokens, modules)
        else:
            self.plan = uniform_plan(flow, modules)
        self._check_plan()

    def _check_plan(self) -> None:
        spec = self.flow.spec
        if len(self.plan) != spec.blocks:
            raise UserError(
                f"The plan of GS-Jacobi is for {len(self.plan)} blocks; the flow has {spec.blocks}."
            )
        for block in self.plan:
            require_divisor(block.modules, spec.n_tokens)

    def flops_per_image(self, guidance: float = 0.0) -> None:
        """Return None: how many iterations a block takes depends on the data."""

    @property
    def settings(self) -> dict[str, Any]:
        options = asdict(self.options)
        del options["init"]  # the plan's, block by block
        return super().settings | options | {"plan": [asdict(block) for block in self.plan]}

    def invert_block(
        self, index: int, z: Tensor, y: Tensor | None, guidance: Guidance, count: Count
    ) -> Inverted:
        block = self.plan[index]
        if block.modules == self.flow.spec.n_tokens:
            return sweep_per_token(super().invert_block(index, z, y, guidance, count))
        net = self.prepared.network(index, y, guidance, len(z), count)
        options = replace(self.options, init=block.init)
        return invert_by_modules(net, z, block.modules, options)
