"""How much faster one inverse of a flow is than another, both measured in the same run.

    pytest tests/speed/test_inverse_ratios.py --benchmark-only --benchmark-json=ratios.json
    python -m nfbench.measure.ratios ratios.json

Every contestant is called once a round, in an order drawn for that round, and a ratio is of two calls of
the same round. pytest-benchmark's own columns are of whole rounds; times and ratios are in extra_info.
One cell alone: test_inverse_ratios.py::test_exact_inverses[T49-batch1-guidance0].
"""

import itertools
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines import TarFlow, load_flow
from nfbench.files import sha256_file

sys.path.insert(0, str(Path(__file__).parent))  # of the modules beside this one, which are in no package

from contestants import Contestant, exact_inverses, inputs, jacobi_inverses, random_flow
from rounds import not_asked_for, time_in_rounds

IMAGE_SIZES = {49: 14, 64: 16, 196: 28}  # pixels, by number of tokens of 2 x 2 pixels
GUIDANCE = (0.0, 1.0)
EXACT_PAIRS = (("static", "published"), ("static", "sequential"))
JACOBI_PAIRS = (("jacobi", "static"), ("batch-wide", "static"), ("jacobi", "batch-wide"))


def why_not(config: pytest.Config, trained: bool) -> str | None:
    """Return why nothing is measured, None where it is."""
    if (reason := not_asked_for(config, __file__)) is not None:
        return reason
    if trained and config.getoption("--forward-checkpoint") is None:
        return "the number of sweeps depends on the weights: give a trained flow as --forward-checkpoint"
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one benchmark per number of tokens, batch size and scale of guidance, or one skipped test."""
    exact = "n_tokens" in metafunc.fixturenames
    reason = why_not(metafunc.config, trained=not exact)
    sizes = metafunc.config.getoption("--batch-size") or ([1, 4, 64] if exact else [1, 64])
    axes: dict[str, Iterable[Any]] = {"n_tokens": IMAGE_SIZES} if exact else {}
    axes |= {"batch_size": sizes, "guidance": GUIDANCE}
    if reason is not None:
        cells = [pytest.param(*[0] * len(axes), marks=pytest.mark.skip(reason=reason), id="all")]
    else:
        label = ("T{}-" if exact else "") + "batch{}-guidance{:g}"
        cells = [pytest.param(*cell, id=label.format(*cell)) for cell in itertools.product(*axes.values())]
    metafunc.parametrize(tuple(axes), cells)


def measure(
    benchmark: Any,
    contestants: dict[str, Contestant],
    pairs: Iterable[tuple[str, str]],
    arguments: tuple,
    config: pytest.Config,
    device: str,
) -> None:
    """Time all contestants' sampling; `arguments` are (z, y, guidance) of every call."""
    calls = {name: partial(each.sample, *arguments) for name, each in contestants.items()}
    z, _, guidance = arguments
    time_in_rounds(benchmark, calls, pairs, config, device, batch_size=len(z), guidance=guidance)


def test_exact_inverses(
    benchmark, n_tokens: int, batch_size: int, guidance: float, device: str, pytestconfig: pytest.Config
):
    flow = random_flow(IMAGE_SIZES[n_tokens]).to(device)
    assert flow.spec.n_tokens == n_tokens
    contestants, (z, y) = exact_inverses(flow), inputs(flow, batch_size, device)
    images = [each.sample(z, y, guidance).images for each in contestants.values()]
    for other in images[1:]:
        torch.testing.assert_close(other, images[0], rtol=1e-3, atol=1e-3)
    benchmark.group = f"a round of {', '.join(contestants)}: T {n_tokens}, guidance {guidance:g}"
    benchmark.extra_info.update(tokens=n_tokens, checkpoint_sha256="random")
    measure(benchmark, contestants, EXACT_PAIRS, (z, y, guidance), pytestconfig, device)


@pytest.fixture(scope="module")
def trained_flow(pytestconfig: pytest.Config, device: str) -> TarFlow:
    """Return the flow of --forward-checkpoint."""
    return load_flow(pytestconfig.getoption("--forward-checkpoint"))[0].to(device)


def test_jacobi_inverses(
    benchmark,
    trained_flow: TarFlow,
    batch_size: int,
    guidance: float,
    device: str,
    pytestconfig: pytest.Config,
):
    contestants, (z, y) = jacobi_inverses(trained_flow), inputs(trained_flow, batch_size, device)
    sampled = {name: each.sample(z, y, guidance) for name, each in contestants.items()}
    benchmark.group = f"a round of {', '.join(contestants)}: guidance {guidance:g}"
    benchmark.extra_info.update(
        tokens=trained_flow.spec.n_tokens,
        checkpoint_sha256=sha256_file(pytestconfig.getoption("--forward-checkpoint")),
        sweeps={name: each.sweeps for name, each in sampled.items()},  # per block, data side first
    )
    measure(benchmark, contestants, JACOBI_PAIRS, (z, y, guidance), pytestconfig, device)
