"""Time samplers at every batch size and guidance scale.

    pytest tests/speed --benchmark-only                       by hand, random weights
    pytest tests/speed/test_samplers.py --benchmark-only --request=FILE.json --benchmark-json=OUT.json

The second is a process of `nfbench.measure.speed.benchmark`. What cannot be measured is skipped, with the
reason. With random weights, the time of iterative samplers means nothing.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from build import build, inputs_of, load_modules, not_asked_for, requests_by_hand, settings
from torch import Tensor

from nfbench.errors import UserError
from nfbench.files import read_json
from nfbench.measure.speed.machine import clock_mhz, joules_per_call, waits_passively, watch_load
from nfbench.measure.speed.timer import (
    PeakMemory,
    agree,
    available_bytes,
    is_out_of_memory,
    matmul_flops_per_second,
    n_calls,
    timed,
    warm_up,
    why_not_fit,
)
from nfbench.provenance import commit, device_name
from nfbench.runtime import resolve_device, resolve_precision

WARM_UP = 5  # times the seconds of timing, at most


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one benchmark per sampler, batch size and guidance scale, small batches first."""
    if "cell" not in metafunc.fixturenames:
        return
    if (skipped := not_asked_for(metafunc.config)) is not None:
        metafunc.parametrize("cell", [skipped])
        return
    path = metafunc.config.getoption("--request")
    try:
        requests = [read_json(path)] if path else by_hand(metafunc.config)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    cells, ids = [], []
    for request in requests:
        for n, w in itertools.product(sorted(request["batch_sizes"]), request["guidance"]):
            cells.append((request, n, w))
            ids.append(f"{request['row']['name']}-batch{n}-guidance{w:g}")
    metafunc.parametrize("cell", cells, ids=ids)


def by_hand(config: pytest.Config) -> list[dict[str, Any]]:
    """Return the requests of the command line."""
    return requests_by_hand(config.getoption("--sampler"), settings(config))


class Subject:
    """The sampler of a request, built once; its memory is counted from before it was built."""

    def __init__(self, request: dict[str, Any]):
        if request["threads"]:
            torch.set_num_threads(request["threads"])
        self.device = resolve_device(request["device"])
        wanted = resolve_precision(request["precision"], self.device)
        load_modules(request)
        self.memory = PeakMemory(self.device)
        self.memory.start()
        self.sampler, self.precision = build(request, self.device, wanted)
        self.weights = self.memory.peak() or 0  # bytes; no larger batch takes more of them
        self.clock_mhz = clock_mhz(self.device)
        self.seconds = request["seconds"]
        self.peaks: dict[float, tuple[int, int | None]] = {}  # largest batch, bytes beyond weights
        self.measured: list[tuple[dict[str, Any], Callable[[], None], float]] = []

    def prepare(self) -> None:
        """Drop what earlier cells left, e.g. CUDA graphs, and forget their peak of memory."""
        self.sampler.to(self.device)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.memory.start()

    def add_costs(self) -> None:
        """Add FLOPs, utilisation and energy of an image to the notes of every cell, None where not known.

        This is done after the last cell: counting FLOPs imports much of torch, which takes memory.
        """
        flops_of = getattr(self.sampler, "flops_per_image", lambda guidance: None)
        most = None
        for notes, call, seconds in self.measured:
            self.prepare()
            call()
            flops, n = flops_of(notes["guidance"]), notes["batch_size"]
            if flops and most is None:
                most = matmul_flops_per_second(self.device, self.precision, WARM_UP * self.seconds)
            joules = joules_per_call(self.device, timed(call, self.device))
            notes["costs"] = {
                "flops_per_image": flops,
                "utilisation": flops * n / seconds / most if flops else None,
                "joules_per_image": None if joules is None else joules / n,
            }


@pytest.fixture(scope="session")
def subject_of() -> Iterator[Callable[[dict[str, Any]], Subject]]:
    """Yield request -> Subject, of which the last one is kept."""
    built: dict[str, Subject] = {}

    def finish() -> None:
        for subject in built.values():
            subject.add_costs()
        built.clear()

    def subject(request: dict[str, Any]) -> Subject:
        name = request["row"]["name"]
        if name not in built:
            finish()
            built[name] = Subject(request)
        return built[name]

    yield subject
    finish()


def why_missing(subject: Subject, z: Tensor, y: Tensor | None, guidance: float) -> str | None:
    """Make one call of a cell and return the reason why it cannot be measured; None where it can."""
    if guidance and y is None:
        return "cannot be guided: there are no classes"
    if guidance in subject.peaks and subject.device.type == "cpu":
        smaller, peak = subject.peaks[guidance]
        if (reason := why_not_fit(peak, smaller, len(z), available_bytes())) is not None:
            return reason
    try:
        subject.sampler.sample(z, y, guidance)
    except UserError as error:
        if not guidance:
            raise
        return f"cannot be guided: {error}"
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return f"does not fit: {str(error).splitlines()[0]}"
    return None


def test_sampler_speed(benchmark: Any, cell: tuple[dict[str, Any], int, float], subject_of: Any):
    request, batch_size, guidance = cell
    subject = subject_of(request)
    sampler, device, seconds = subject.sampler, subject.device, request["seconds"]
    z, y = inputs_of(sampler, batch_size, device)
    subject.prepare()
    if (reason := why_missing(subject, z, y, guidance)) is not None:
        pytest.skip(reason)

    def call() -> None:
        sampler.sample(z, y, guidance)

    with watch_load() as load:
        warm = warm_up(call, device, min_seconds=seconds / 2, max_seconds=WARM_UP * seconds)
        rounds = n_calls(warm.seconds, seconds, request["min_calls"])
        benchmark.pedantic(timed(call, device), rounds=rounds, iterations=1)
    peak, median = subject.memory.peak(), benchmark.stats.stats.median
    subject.peaks[guidance] = batch_size, None if peak is None else peak - subject.weights

    benchmark.group = f"batch {batch_size}, guidance {guidance:g}"
    benchmark.extra_info.update(
        sampler=request["row"]["name"],
        batch_size=batch_size,
        guidance=guidance,
        device=device_name(device),
        precision=subject.precision,
        commit=commit(),
        threads=torch.get_num_threads(),
        other_cores=load.other_cores,
        stolen_cores=load.stolen_cores,
        waits_passively=waits_passively(),
        stable=warm.stable or agree(warm.seconds, median),  # a slow call may outlast the warm-up
        clock_mhz=subject.clock_mhz,
        peak_memory_bytes=peak,
    )
    if request["costs"]:
        subject.measured.append((benchmark.extra_info, call, median))
    assert median > 0
