"""Options of the speed suite, tests that need a GPU, and what stands for a CUDA graph where there is none."""

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

# A capture may not wait for the device, and what it draws would be drawn once and for all.
FORBIDDEN = ("nonzero", "_local_scalar_dense", "masked_select", "lift_fresh")
FORBIDDEN += ("rand", "bernoulli", "normal_", "uniform")
# These launch no kernel.
FREE = (
    "view",
    "slice",
    "select",
    "transpose",
    "unsqueeze",
    "squeeze",
    "expand",
    "permute",
    "alias",
    "detach",
)
FREE += ("unbind", "split", "empty", "unsafe_view", "t.default")


class Captured:
    """What a CUDA graph of a function does: its kernels in order, on the inputs and on memory that stays.

    Attributes:
        kernels: how often each operator that launches a kernel occurs.
    """

    def __init__(self, fn: Callable[..., Tensor], inputs: Sequence[Tensor]):
        from torch.fx.experimental.proxy_tensor import make_fx  # takes a second, in every timing's process

        self._replay = make_fx(lambda *given: fn(*given))(*inputs)  # all but the inputs becomes a constant
        calls = [str(n.target) for n in self._replay.graph.nodes if n.op == "call_function"]
        names = [name.removeprefix("aten.") for name in calls if "getitem" not in name]
        self.kernels = Counter(name for name in names if not name.lstrip("_").startswith(FREE))
        assert not [name for name in self.kernels if any(word in name for word in FORBIDDEN)]

    def __call__(self, *inputs: Tensor) -> Tensor:
        return self._replay(*inputs).clone()


@pytest.fixture
def captured() -> type[Captured]:
    """Return the class that stands for `nfbench.runtime.CudaGraph` on any device."""
    return Captured


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of tests/speed."""
    group = parser.getgroup("speed", "tests/speed, which runs with --benchmark-only")
    group.addoption("--request", metavar="FILE.json", help="what to time, as the rule measure_speed asks")
    group.addoption(
        "--sampler",
        action="append",
        metavar="NAME",
        help="sampler type to time with random weights, repeatable (default: all inverses, and biflow)",
    )
    group.addoption(
        "--batch-size",
        action="append",
        type=int,
        metavar="N",
        help="images a call, repeatable (default: 1 and 64)",
    )
    group.addoption(
        "--guidance",
        action="append",
        type=float,
        metavar="W",
        help="guidance scale, repeatable (default: 0)",
    )
    group.addoption("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    group.addoption(
        "--precision",
        action="append",
        choices=["fp32", "tf32", "bf16"],
        help="of matrix products, repeatable (default: fp32, on a GPU also tf32 and bf16)",
    )
    group.addoption(
        "--seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="time for the calls of one cell, or the steps of one training (default: 1)",
    )
    group.addoption(
        "--min-calls",
        type=int,
        default=3,
        metavar="N",
        help="calls timed even where they take longer (default: 3)",
    )
