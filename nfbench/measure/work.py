"""What a call computes: its FLOPs and its products of matrices, those that CUDA graphs replay included.

The bare products, of the same shapes and timed in the same process, are what a sampler's time is held
against: the share of its time that they would take alone is how well it uses the machine.
"""

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from nfbench.measure.speed import synchronise

aten = torch.ops.aten
# Products of two matrices or batches of them, and the place of the left factor among the arguments.
LEFT_FACTOR = {aten.mm: 0, aten.bmm: 0, aten.addmm: 1, aten.baddbmm: 1}
REPEATS = 3  # of the timing of a product, whose median is taken


class Product(NamedTuple):
    """A product of matrices, (n, k) by (k, m), or of batches of them, (b, n, k) by (b, k, m)."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    dtype: torch.dtype

    @property
    def flops(self) -> int:
        """FLOPs of it; a multiplication with its addition is two."""
        return 2 * math.prod(self.left) * self.right[-1]


@dataclass(frozen=True)
class Work:
    """What was computed: FLOPs as torch counts them, and how often each product was made."""

    flops: int = 0
    products: Counter[Product] = field(default_factory=Counter)

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.products + other.products)

    def __sub__(self, other: "Work") -> "Work":
        return Work(self.flops - other.flops, self.products - other.products)

    def only_products(self) -> bool:
        """Say whether all FLOPs are of products of matrices, so that these stand for the whole."""
        return self.flops == sum(product.flops * n for product, n in self.products.items())


class _ProductMode(TorchDispatchMode):
    """Counts the products that pass by."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        place = LEFT_FACTOR.get(getattr(func, "overloadpacket", None))
        if place is not None:
            left, right = args[place : place + 2]
            self.products[Product(tuple(left.shape), tuple(right.shape), left.dtype)] += 1
        return func(*args, **(kwargs or {}))


class _Replays:
    """Sums up what CUDA graphs replay, which passes no counter: the work of their capture, every time.

    Args:
        so_far: returns the work counted until now.
    """

    def __init__(self, so_far: Callable[[], Work]):
        self._so_far = so_far
        self._captured: dict[int, Work] = {}
        self.work = Work()

    def begin(self, graph: Any) -> None:
        self._captured[id(graph)] = self._so_far()

    def end(self, graph: Any) -> None:
        self._captured[id(graph)] = self._so_far() - self._captured[id(graph)]

    def replay(self, graph: Any) -> None:
        """Add the work of a graph.

        Raises:
            RuntimeError: it was captured before anybody counted.
        """
        if id(graph) not in self._captured:
            raise RuntimeError("a CUDA graph captured earlier is replayed; count with a sampler newly made")
        self.work = self.work + self._captured[id(graph)]


@contextmanager
def _watch_graphs(replays: _Replays) -> Iterator[None]:
    """Tell `replays` of every capture and every replay of a CUDA graph in the body."""
    capture, graph = torch.cuda.graph, torch.cuda.CUDAGraph
    originals = capture.__enter__, capture.__exit__, graph.replay

    def enter(self: Any) -> Any:
        replays.begin(self.cuda_graph)
        return originals[0](self)

    def leave(self: Any, *error: Any) -> Any:
        replays.end(self.cuda_graph)
        return originals[1](self, *error)

    def replay(self: Any) -> None:
        replays.replay(self)
        originals[2](self)

    capture.__enter__, capture.__exit__, graph.replay = enter, leave, replay
    try:
        yield
    finally:
        capture.__enter__, capture.__exit__, graph.replay = originals


def work_of(call: Callable[[], Any]) -> Work:
    """Make a call twice and return the work of the second, as `nfbench.measure.flops.count_flops` counts.

    The first call captures the CUDA graphs that the second replays, so it is to be of a sampler newly made.
    Both are slow: every operation passes through Python.

    Raises:
        RuntimeError: the call replays a graph that was captured before.
    """
    products, counter = _ProductMode(), FlopCounterMode(display=False)

    def so_far() -> Work:
        return Work(counter.get_total_flops(), Counter(products.products))

    replays = _Replays(so_far)
    # The counter comes last: what it takes apart then passes the other one.
    with sdpa_kernel(SDPBackend.MATH), _watch_graphs(replays), products, counter:
        call()
        before, replays.work = so_far(), Work()
        call()
        return so_far() - before + replays.work


def seconds_of_products(
    products: Counter[Product], device: torch.device | str, max_seconds: float = 0.2
) -> float:
    """Time products of these shapes, one shape after the other, and return the seconds of all of them.

    Many are started before the device is waited for, so that starting one does not count where the device
    can be kept busy. The operands stay where the last product left them, in a cache if they fit.

    Args:
        products: how often each is made.
        max_seconds: time to spend, about; a product is made a few times all the same.
    """
    each = max_seconds / max(1, len(products)) / REPEATS
    return sum(n * _seconds_of(product, torch.device(device), each) for product, n in products.items())


def _seconds_of(product: Product, device: torch.device, max_seconds: float) -> float:
    left = torch.randn(product.left, device=device).to(product.dtype)
    right = torch.randn(product.right, device=device).to(product.dtype)
    out = torch.matmul(left, right)

    def repeated(times: int) -> float:
        synchronise(device)
        start = time.perf_counter()
        for _ in range(times):
            torch.matmul(left, right, out=out)
        synchronise(device)
        return (time.perf_counter() - start) / times

    repeated(1)
    times = max(1, min(1000, int(max_seconds / max(repeated(1), 1e-9))))
    return statistics.median(repeated(times) for _ in range(REPEATS))
