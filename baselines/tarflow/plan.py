"""Which blocks of a flow are hard to invert in parallel, and what GS-Jacobi does about it (arXiv:2505.12849).

The paper reads the measures by eye; here a rule chooses, and its choice is written down. It ranks blocks by
the product of both measures: CRM alone, which bounds how slowly an error shrinks, points at the block next to
the data on flows trained here, where the block next to the noise takes twice the iterations, since every
guess starts it far off.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.tarflow.fixed_point import INITS
from baselines.tarflow.model import Block, TarFlow
from nfbench.data.tokens import images_to_tokens
from nfbench.errors import UserError
from nfbench.files import read_json

HARD = 1.5  # times an equal share


@dataclass(frozen=True)
class Difficulty:
    """How hard one block is, from training images without labels.

    Attributes:
        crm: convergence ranking measure ||mean_B(exp(-a) u)|| ||W_a|| + ||W_m||; larger converges slower.
        crm_percent: its share of the sum over blocks.
        igm_z, igm_zeros: initial guessing measure ||mean_B(one Jacobi step from the guess - u)||; the
            guess with the smaller one is the better.
    """

    crm: float
    crm_percent: float
    igm_z: float
    igm_zeros: float

    @property
    def hardness(self) -> float:
        """CRM times the better guess's IGM: how slowly an error shrinks, times the error at the start."""
        return self.crm * min(self.igm_z, self.igm_zeros)


@dataclass(frozen=True)
class BlockPlan:
    """How one block is solved: in `modules` equal modules (T of them: token by token), and `init`."""

    modules: int
    init: str = "z"

    def __post_init__(self) -> None:
        if not isinstance(self.modules, int) or self.modules < 1:
            raise ValueError(f"modules is {self.modules!r}; it must be a whole number from 1 up")
        if self.init not in INITS:
            raise ValueError(f"init is {self.init!r}; it must be one of {', '.join(INITS)}")


def spectral(matrix: Tensor) -> Tensor:
    """Return the largest singular value of a matrix."""
    return torch.linalg.matrix_norm(matrix, ord=2)


def jacobi_step(block: Block, guess: Tensor, z: Tensor) -> Tensor:
    """Return one iteration over a whole block without label, tokens (B, T, D) in its own order."""
    a, m = block.affine(guess, None)
    return z * torch.exp(a) + m


def initial_tokens(name: str, z: Tensor) -> Tensor:
    """Return what unknown tokens start from: the noise, or zeros behind the token that passes unchanged."""
    return z if name == "z" else F.pad(z[:, :1], (0, 0, 0, z.shape[1] - 1))


def _measures(block: Block, u: Tensor, z: Tensor) -> tuple[float, ...]:
    """Return CRM and the IGM of both guesses, for inputs u and outputs z in the block's own order."""
    a, _ = block.affine(u, None)
    weight_m, weight_a = block.proj_out.weight[-u.shape[2] :], block.proj_out.weight[: -u.shape[2]]
    scale = spectral(weight_a) if len(weight_a) else torch.zeros(())
    crm = spectral((torch.exp(-a) * u).mean(dim=0)) * scale + spectral(weight_m)
    igm = [spectral((jacobi_step(block, initial_tokens(g, z), z) - u).mean(dim=0)) for g in INITS]
    return tuple(value.item() for value in (crm, *igm))


@torch.no_grad()
def difficulties(flow: TarFlow, x: Tensor) -> list[Difficulty]:
    """Measure every block, data side first.

    Args:
        x: a few hundred training images with training noise, (B, c, H, W).
    """
    tokens = images_to_tokens(x, flow.spec.patch_size)
    states = [tokens, *flow.encode(x, None).states]
    measured = [
        _measures(block, block.order(u), block.order(z))
        for block, u, z in zip(flow.blocks, states[:-1], states[1:], strict=True)
    ]
    total = sum(crm for crm, *_ in measured)
    return [Difficulty(crm, 100 * crm / total, z, zeros) for crm, z, zeros in measured]


def divisors(n: int) -> list[int]:
    """Return the numbers that divide n, ascending."""
    return [d for d in range(1, n + 1) if n % d == 0]


def usual_modules(n_tokens: int) -> int:
    """Return the largest divisor of T that is at most its root."""
    return max(d for d in divisors(n_tokens) if d * d <= n_tokens)


def require_divisor(modules: int, n_tokens: int) -> None:
    """Refuse modules that would not be equal.

    Raises:
        UserError: T is not divisible by their number.
    """
    if modules < 1 or n_tokens % modules:
        raise UserError(
            f"GS-Jacobi cannot cut {n_tokens} tokens into {modules} equal modules; choose a number that"
            " divides them."
        )


def choose_plan(
    measured: Sequence[Difficulty], n_tokens: int, modules: int | None = None, hard: float = HARD
) -> list[BlockPlan]:
    """Cut hard blocks into modules, leave the others whole, and start each from its better guess.

    A block is hard when its share of the blocks' `Difficulty.hardness` is at least `hard` times an equal one.

    Args:
        modules: of a hard block; by default the largest divisor of T up to its root.

    Raises:
        UserError: T is not divisible by `modules`.
    """
    if modules is not None:
        require_divisor(modules, n_tokens)
    modules = usual_modules(n_tokens) if modules is None else modules
    threshold = hard * sum(block.hardness for block in measured) / len(measured)
    return [
        BlockPlan(
            modules=modules if block.hardness >= threshold > 0 else 1,
            init="z" if block.igm_z <= block.igm_zeros else "zeros",
        )
        for block in measured
    ]


def uniform_plan(flow: TarFlow, modules: int | None = None) -> list[BlockPlan]:
    """Return a plan that treats every block as hard, as there are no images to measure on."""
    modules = usual_modules(flow.spec.n_tokens) if modules is None else modules
    return [BlockPlan(modules)] * flow.spec.blocks


def as_plan(plan: str | Path | Sequence[BlockPlan | dict[str, Any]]) -> list[BlockPlan]:
    """Return a plan, read from the file that `plan_record` was written to where a path is given.

    Raises:
        UserError: the file is missing or holds no plan.
    """
    where = plan if isinstance(plan, str | Path) else "the plan"
    try:
        blocks = read_json(plan)["plan"] if isinstance(plan, str | Path) else plan
        return [block if isinstance(block, BlockPlan) else BlockPlan(**block) for block in blocks]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where} holds no plan of GS-Jacobi ({error}); it must be a list of modules and init for every"
            " block, data side first."
        ) from None


def plan_record(measured: Sequence[Difficulty], plan: Sequence[BlockPlan]) -> dict[str, Any]:
    """Return measures and plan as plain values, data side first."""
    return {
        "difficulty": [dataclasses.asdict(block) | {"hardness": block.hardness} for block in measured],
        "plan": [dataclasses.asdict(block) for block in plan],
    }
