"""Contestants timed in rounds by pytest-benchmark; see nfbench.measure.ratios."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from nfbench.measure.ratios import Interleaved, summary
from nfbench.measure.speed import rounds_within, timed, warm_up, watch_others
from nfbench.provenance import commit


def not_asked_for(config: pytest.Config, suite: str) -> str | None:
    """Return why a suite of ratios measures nothing, None where it was asked for by its path.

    A run of the whole of tests/speed leaves the ratios out: its JSON has a sampler a row.
    """
    name = Path(suite).name
    if not config.getoption("benchmark_only") or not any(name in word for word in config.args):
        return f"ratios are measured with: pytest tests/speed/{name} --benchmark-only"
    return None


def time_in_rounds(
    benchmark: Any,
    calls: Mapping[str, Callable[[], Any]],
    pairs: Iterable[tuple[str, str]],
    config: pytest.Config,
    device: str,
    **told: Any,
) -> None:
    """Time all contestants in rounds and leave their medians and ratios in the benchmark's extra_info.

    Args:
        pairs: contestants to divide, the first by the second.
        told: what else is to be known of the cell: tokens, batch_size, guidance.
    """
    load_average = os.getloadavg()[0]
    max_seconds = config.getoption("--max-seconds")
    warm = [warm_up(call, device, max_seconds=max_seconds / 2 / len(calls)) for call in calls.values()]
    seconds = sum(each.seconds for each in warm)
    rounds = rounds_within(seconds, max_seconds, config.getoption("--min-rounds"))
    interleaved = Interleaved({name: timed(call, device) for name, call in calls.items()}, seed=0)
    with watch_others() as others:
        benchmark.pedantic(interleaved.round, rounds=rounds, iterations=1)

    benchmark.extra_info.update(
        summary(interleaved.seconds, pairs),
        commit=commit(),
        device=device,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        load_average=load_average,
        other_cores=others.cores,
        warm_up_calls=sum(each.calls for each in warm),
        warm_up_stable=all(each.stable for each in warm),
        **told,
    )
