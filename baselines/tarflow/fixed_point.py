"""Fixed-point inverses of one flow block: all tokens of a module at once, iteration by iteration.

Jacobi: x <- z exp(a(x)) + m(x), each token's a and m read off the tokens before it. After n iterations the
first n unknown tokens are exact, so a module of n is solved by n iterations at most (arXiv:2412.06329 notes
the triangular system; arXiv:2505.12849 and 2505.24791 iterate on it).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.tarflow.prepared import Network
from baselines.tarflow.static import affine

INITS = ("z", "zeros")
ITERATIONS_BETWEEN_CHECKS = 4  # on a GPU


@dataclass(frozen=True)
class FixedPoint:
    """Options of the fixed-point iteration: when to stop, and where to start.

    Attributes:
        tolerance: an image has converged when no value changed by tolerance or more in a iteration.
        max_iterations: most iterations on a module; None for as many as make it exact.
        init: what unknown tokens start from: "z", the noise, or "zeros".
        clamp: bound on |x| after every iteration, which changes the fixed point; None for none. The published
            GS-Jacobi code clamps to 3.
        batch_wide: iterate until every image of the batch has converged, as published; results then depend on
            the other images.
        stale_keys: let later modules see the keys and values of the last iteration, as published, and not
            those of the tokens that the module ended with; needs `batch_wide`.
        check_every: iterations between two checks of which images have converged; each check waits for a GPU.
            None for 4 on a GPU and 1 on a CPU. It changes no result.
    """

    tolerance: float = 0.0
    max_iterations: int | None = None
    init: str = "z"
    clamp: float | None = None
    batch_wide: bool = False
    stale_keys: bool = False
    check_every: int | None = None

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise ValueError(f"tolerance is {self.tolerance}; it must not be negative")
        if self.max_iterations is not None and self.max_iterations < 1:
            raise ValueError(f"max_iterations is {self.max_iterations}; it must be at least 1")
        if self.init not in INITS:
            raise ValueError(f"init is {self.init!r}; it must be one of {', '.join(INITS)}")
        if self.clamp is not None and self.clamp <= 0:
            raise ValueError(f"clamp is {self.clamp}; it must be > 0")
        if self.check_every is not None and self.check_every < 1:
            raise ValueError(f"check_every is {self.check_every}; it must be at least 1")
        if self.stale_keys and not self.batch_wide:
            raise ValueError(
                "stale_keys needs batch_wide: an image that has left keeps none of later iterations"
            )


def solve_modules(net: Network, z: Tensor, modules: int, options: FixedPoint) -> tuple[Tensor, Tensor]:
    """Invert one block, its tokens cut into equal modules that are solved one after the other.

    One module is Jacobi, several are GS-Jacobi (arXiv:2505.12849). Module g holds the inputs g T/G <= t <
    (g + 1) T/G, and solves the tokens after them.

    Args:
        z: the block's output in its own order, (B, T, D); not changed.
        modules: G, which divides T.

    Returns:
        The block's input in its own order, (B, T, D), and the iterations of every module and image, (G, B).

    Raises:
        ValueError: T is not divisible by the number of modules.
    """
    batch, n_tokens, _ = z.shape
    if modules < 1 or n_tokens % modules:
        raise ValueError(f"{n_tokens} tokens cannot be cut into {modules} equal modules")
    x = z.clone() if options.init == "z" else torch.zeros_like(z)
    x[:, 0] = z[:, 0]
    length = n_tokens // modules
    iterations = torch.zeros(modules, batch, dtype=torch.long, device=z.device)
    renewed = 0
    for module in range(modules):
        first, last = module * length, min((module + 1) * length, n_tokens - 1)
        if first < last:
            iterations[module] = _solve_module(net, x, z, renewed, first, last, options)
        renewed = last if options.stale_keys else first
    return x, iterations


def _solve_module(
    net: Network, x: Tensor, z: Tensor, renewed: int, first: int, last: int, options: FixedPoint
) -> Tensor:
    """Solve the tokens after inputs first <= t < last, in place; return each image's iterations, (B,).

    Args:
        renewed: input from which on keys and values are to be computed again, from the tokens that the
            module before ended with; the first iteration does it in the same evaluation.
    """
    every = options.check_every or (ITERATIONS_BETWEEN_CHECKS if x.is_cuda else 1)
    most = last - first if options.max_iterations is None else min(options.max_iterations, last - first)
    taken = torch.zeros(len(x), dtype=torch.long, device=x.device)
    active = torch.arange(len(x), device=x.device)
    settled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    current, noise, start = x, z, renewed
    for iteration in range(most):
        # Inputs up to this one are exact, and their keys and values will not change after this iteration.
        solved = first + iteration
        old = current[:, solved + 1 : last + 1]
        # A value that overflows must not reach the solved tokens, as it would where attention multiplies it
        # by a weight of zero; x itself keeps what is not finite, so that it is seen.
        known = torch.nan_to_num(current[:, start:last], 0.0, 0.0, 0.0)
        a, m = net.predict(known, net.workspace.span(start, last))
        a = None if a is None else a[:, solved - start :]
        new = affine(noise[:, solved + 1 : last + 1], a, m[:, solved - start :])
        if options.clamp is not None:
            new.clamp_(-options.clamp, options.clamp)
        if every > 1:  # an image that has settled since the last check is left as it settled
            new = torch.where(settled[:, None, None], old, new)
        taken[active] += ~settled
        settled = settled | ((new - old).abs().amax(dim=(1, 2)) < options.tolerance)
        if options.batch_wide:
            settled = settled.all().expand_as(settled)
        old.copy_(new)
        start = solved + 1
        if iteration + 1 == most or (iteration + 1) % every or not settled.any():
            continue
        if current is not x:
            x[active] = current
        if settled.all():
            return taken
        left = (~settled).nonzero()[:, 0]
        active, current, noise, net = active[left], current[left], noise[left], net.keep(left)
        settled = settled[left]
    if current is not x:
        x[active] = current
    return taken
