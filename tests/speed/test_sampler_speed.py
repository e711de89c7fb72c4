"""Latency at batch 1 and throughput at batch 64 of every sampler.

    pytest tests/speed --benchmark-only --benchmark-json=speed.json

Random weights by default: time does not depend on their values, except for samplers that iterate
until they converge. Warm, synchronised after every call; `nfbench.measure.speed` reads the JSON.
"""

import os
from collections.abc import Callable

import pytest
import torch

from nfbench.data.noise import balanced_labels, latent_noise
from nfbench.measure.speed import rounds_within, timed, warm_up, watch_others
from nfbench.provenance import commit
from nfbench.sample.sampler import Sampler


def test_sampler_speed(
    benchmark,
    build_sampler: Callable[[str], tuple[Sampler, str]],
    sampler_name: str,
    batch_size: int,
    device: str,
    pytestconfig: pytest.Config,
):
    max_seconds = pytestconfig.getoption("--max-seconds")
    guidance = pytestconfig.getoption("--guidance")
    load_average = os.getloadavg()[0]
    sampler, checkpoint = build_sampler(sampler_name)
    z = latent_noise(0, range(batch_size), sampler.latent_shape).float().to(device)
    n_classes = sampler.n_classes
    y = None if n_classes is None else balanced_labels(range(batch_size), n_classes).to(device)

    def call() -> None:
        sampler.sample(z, y, guidance)

    warm = warm_up(call, device, max_seconds=max_seconds / 2)
    rounds = rounds_within(warm.seconds, max_seconds, pytestconfig.getoption("--min-rounds"))
    with watch_others() as others:
        benchmark.pedantic(timed(call, device), rounds=rounds, iterations=1)

    benchmark.group = f"batch {batch_size}"
    benchmark.extra_info.update(
        sampler=sampler_name,
        batch_size=batch_size,
        guidance=guidance,
        commit=commit(),
        device=device,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        checkpoint_sha256=checkpoint,
        load_average=load_average,
        other_cores=others.cores,
        warm_up_calls=warm.calls,
        warm_up_stable=warm.stable,
    )
