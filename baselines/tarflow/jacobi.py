"""Fixed-point inverses: Jacobi, GS-Jacobi (arXiv:2505.12849) and selective Jacobi (arXiv:2505.24791)."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines.tarflow.cost import Count
from baselines.tarflow.fixed_point import FixedPoint, solve_modules
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.inverse import Inverted
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

# The published code of GS-Jacobi iterates until the Frobenius norm of the batch's change is under 1e-6 B D,
# which loosens as the batch grows. For one image the largest change is then under 1e-6 D.
PUBLISHED_TOLERANCE_PER_VALUE = 1e-6
PUBLISHED_TOLERANCE_OF_SEJD = 0.5


def published_tolerance(flow: TarFlow) -> float:
    """Return the threshold on the largest change that GS-Jacobi's published rule comes to for one image."""
    return PUBLISHED_TOLERANCE_PER_VALUE * flow.spec.token_dim


class FixedPointInverse(SequentialStatic):
    """An inverse by fixed-point iterations over the modules of every block; subclasses set options and plan.

    Attributes:
        options: when to stop; where to start is said by the plan.
        plan: one `BlockPlan` per block, data side first; T modules are solved token by token instead.
    """

    options: FixedPoint
    plan: list[BlockPlan]

    def flops_per_image(self, guidance: float = 0.0) -> None:
        """Return None: how many iterations a block takes depends on the data."""

    @property
    def settings(self) -> dict[str, Any]:
        return super().settings | asdict(self.options)

    def invert_block(
        self, index: int, z: Tensor, y: Tensor | None, guidance: Guidance, count: Count
    ) -> Inverted:
        block, n_tokens = self.plan[index], z.shape[1]
        if block.modules == n_tokens:  # counted as one iteration a token
            tokens = super().invert_block(index, z, y, guidance, count).tokens
            return Inverted(tokens, torch.full((len(z),), n_tokens - 1, device=z.device))
        net = self.prepared.network(index, y, guidance, len(z), count)
        options = replace(self.options, init=block.init)
        x, iterations = solve_modules(net, net.block.order(z), block.modules, options)
        return Inverted(net.block.order(x), iterations.sum(dim=0))


class Jacobi(FixedPointInverse):
    """Every block solved as one module.

    Options: those of `FixedPoint`, tolerance being `published_tolerance` by default, and those of `Guidance`.
    """

    name = "jacobi"

    def __init__(
        self,
        flow: TarFlow,
        tolerance: float | None = None,
        max_iterations: int | None = None,
        init: str = "z",
        clamp: float | None = None,
        batch_wide: bool = False,
        check_every: int | None = None,
        **guidance_options: Any,
    ):
        super().__init__(flow, **guidance_options)
        tolerance = published_tolerance(flow) if tolerance is None else tolerance
        self.options = FixedPoint(tolerance, max_iterations, init, clamp, batch_wide, check_every=check_every)
        self.plan = [BlockPlan(1, init)] * flow.spec.blocks


class SelectiveJacobi(FixedPointInverse):
    """Token by token through the hard block next to the noise, Jacobi from zeros through the others.

    Options: those of `FixedPoint`, tolerance being 0.5 and init zeros, and those of `Guidance`.
    """

    name = "selective-jacobi"

    def __init__(
        self,
        flow: TarFlow,
        tolerance: float = PUBLISHED_TOLERANCE_OF_SEJD,
        max_iterations: int | None = None,
        init: str = "zeros",
        clamp: float | None = None,
        batch_wide: bool = False,
        check_every: int | None = None,
        **guidance_options: Any,
    ):
        super().__init__(flow, **guidance_options)
        self.options = FixedPoint(tolerance, max_iterations, init, clamp, batch_wide, check_every=check_every)
        self.plan = [BlockPlan(1, init)] * (flow.spec.blocks - 1) + [BlockPlan(flow.spec.n_tokens)]


class GSJacobi(FixedPointInverse):
    """Hard blocks cut into modules, solved by Jacobi one after the other.

    Options: those of `FixedPoint` except init, which is the plan's, tolerance being `published_tolerance` by
    default; those of `Guidance`; and where the plan comes from, the first of:

        plan: one `BlockPlan` per block, data side first, or the path of a file that holds them.
        images: training images with training noise, (B, c, H, W), to choose a plan by (`choose_plan`).

    With neither, every block is taken for hard. `modules` is how many modules a hard block is cut into.

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
        if len(self.plan) != flow.spec.blocks:
            raise UserError(
                f"The plan of GS-Jacobi is for {len(self.plan)} blocks; the flow has {flow.spec.blocks}."
            )
        for block in self.plan:
            require_divisor(block.modules, flow.spec.n_tokens)

    @property
    def settings(self) -> dict[str, Any]:
        found = super().settings | {"plan": [asdict(block) for block in self.plan]}
        del found["init"]  # the plan's, block by block
        return found
