"""How much faster one inverse of a flow is than another, both measured in the same run.

    pytest tests/speed/test_inverse_ratios.py --benchmark-only --benchmark-json=ratios.json
    python -m nfbench.measure.ratios ratios.json

Every contestant is called once a round, in an order drawn for that round, and a ratio is of two calls of
the same round. pytest-benchmark's own columns are of whole rounds; times and ratios are in extra_info.
One cell alone: test_inverse_ratios.py::test_exact_inverses[T49-batch1-guidance0].
"""

import itertools
import os
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines import TarFlow, load_flow
from nfbench.files import sha256_file
from nfbench.measure.ratios import Interleaved, summary
from nfbench.measure.speed import rounds_within, timed, warm_up, watch_others
from nfbench.provenance import commit

sys.path.insert(0, str(Path(__file__).parent))  # of the modules beside this one, which are in no package

from contestants import Contestant, exact_inverses, inputs, jacobi_inverses, random_flow

IMAGE_SIZES = {49: 14, 64: 16, 196: 28}  # pixels, by number of tokens of 2 x 2 pixels
GUIDANCE = (0.0, 1.0)
EXACT_PAIRS = (("static", "published"), ("static", "sequential"))
JACOBI_PAIRS = (("jacobi", "static"), ("batch-wide", "static"), ("jacobi", "batch-wide"))


def why_not(config: pytest.Config, trained: bool) -> str | None:
    """Return why nothing is measured, None where it is.

    A run of the whole of tests/speed leaves the ratios out: its JSON has a sampler a row.
    """
    name = Path(__file__).name
    if not config.getoption("benchmark_only") or not any(name in word for word in config.args):
        return f"ratios are measured with: pytest tests/speed/{name} --benchmark-only"
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
    """Time all contestants in rounds and leave their medians and ratios in the benchmark's extra_info.

    Args:
        arguments: (z, y, guidance) of every call.
    """
    load_average = os.getloadavg()[0]
    max_seconds = config.getoption("--max-seconds")
    calls = {name: partial(each.sample, *arguments) for name, each in contestants.items()}
    warm = [warm_up(call, device, max_seconds=max_seconds / 2 / len(calls)) for call in calls.values()]
    seconds = sum(each.seconds for each in warm)
    rounds = rounds_within(seconds, max_seconds, config.getoption("--min-rounds"))
    interleaved = Interleaved({name: timed(call, device) for name, call in calls.items()}, seed=0)
    with watch_others() as others:
        benchmark.pedantic(interleaved.round, rounds=rounds, iterations=1)

    benchmark.extra_info.update(
        summary(interleaved.seconds, pairs),
        batch_size=len(arguments[0]),
        guidance=arguments[2],
        commit=commit(),
        device=device,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        load_average=load_average,
        other_cores=others.cores,
        warm_up_calls=sum(each.calls for each in warm),
        warm_up_stable=all(each.stable for each in warm),
    )


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
