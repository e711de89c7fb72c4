"""Time samplers in every precision, at every batch size and guidance scale.

    pytest tests/speed --benchmark-only                       by hand, random weights
    pytest tests/speed/test_samplers.py --benchmark-only --request=FILE.json --benchmark-json=OUT.json

The second is a process of `nfbench.measure.speed.benchmark`. What cannot be measured is skipped, with the
reason. With random weights, the time of iterative samplers means nothing.
"""

import gc
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from build import (
    build,
    inputs_of,
    load_modules,
    not_asked_for,
    requests_by_hand,
    settings,
    takes_precision,
    use_arithmetic,
)
from torch import Tensor

from nfbench.errors import UserError
from nfbench.files import read_json
from nfbench.measure.speed.machine import clock_mhz, joules_per_call, waits_passively, watch_load
from nfbench.measure.speed.timer import (
    PeakMemory,
    agree,
    available_bytes,
    is_out_of_memory,
    keep_freed_memory,
    matmul_flops_per_second,
    n_calls,
    timed,
    warm_up,
    why_not_fit,
)
from nfbench.provenance import commit, device_name
from nfbench.runtime import resolve_device, timed_precisions

WARM_UP = 5  # times the seconds of timing, at most


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one benchmark per sampler, precision, batch size and guidance scale; small batches first."""
    if "cell" not in metafunc.fixturenames:
        return
    if (skipped := not_asked_for(metafunc.config)) is not None:
        metafunc.parametrize("cell", [skipped])
        return
    path = metafunc.config.getoption("--request")
    cells, ids = [], []
    try:
        requests = [read_json(path)] if path else by_hand(metafunc.config)
        for request in requests:
            precisions = timed_precisions(request["precisions"], resolve_device(request["device"]))
            for at in itertools.product(precisions, sorted(request["batch_sizes"]), request["guidance"]):
                cells.append((request, *at))
                ids.append("{}-{}-batch{}-guidance{:g}".format(request["row"]["name"], *at))
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    metafunc.parametrize("cell", cells, ids=ids)


def by_hand(config: pytest.Config) -> list[dict[str, Any]]:
    """Return the requests of the command line."""
    return requests_by_hand(config.getoption("--sampler"), settings(config))


class Subject:
    """The sampler of a request in one precision; its memory is counted from before it was built.

    Attributes:
        images: drawn in fp32, by batch size and guidance scale; shared by the subjects of a request.
    """

    def __init__(self, request: dict[str, Any], precision: str, images: dict[tuple[int, float], Tensor]):
        if request["threads"]:
            torch.set_num_threads(request["threads"])
        self.device, self.precision, self.images = resolve_device(request["device"]), precision, images
        self.is_trained = bool(request["model"])
        keep_freed_memory()
        use_arithmetic(precision)
        load_modules(request)
        self.memory = PeakMemory(self.device)
        self.memory.start()
        self.sampler = build(request, self.device, precision)
        self.weights = self.memory.peak() or 0  # bytes; no larger batch takes more of them
        self.seconds = request["seconds"]
        self.peaks: dict[float, tuple[int, int | None]] = {}  # largest batch, bytes beyond weights
        self.measured: list[tuple[dict[str, Any], Callable[[], None], float]] = []

    def prepare(self) -> None:
        """Drop what earlier cells left, e.g. CUDA graphs, and forget their peak of memory."""
        self.sampler.to(self.device)
        if self.device.type == "cuda":
            gc.collect()  # compiled functions hold the weights that they were compiled for
            torch.cuda.empty_cache()
        self.memory.start()

    def error(self, images: Tensor, guidance: float) -> float | None:
        """Return the RMS difference of images from those in fp32, which are kept; None for themselves.

        None for random weights, too: they hardly use what rounding would spoil.
        """
        if not self.is_trained:
            return None
        at = (len(images), guidance)
        if self.precision == "fp32":
            self.images[at] = images.cpu()
        if self.precision == "fp32" or at not in self.images:
            return None
        return (images.cpu() - self.images[at]).double().square().mean().sqrt().item()

    def add_costs(self) -> None:
        """Add FLOPs, utilisation and energy of an image to the notes of every cell, None where not known.

        This is done after the last cell: counting FLOPs imports much of torch, which takes memory.
        """
        flops_of = getattr(self.sampler, "flops_per_image", lambda guidance: None)
        most = None
        for notes, call, seconds in self.measured:
            if len(self.measured) > 1:  # else its graph is still there
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
def subject_of() -> Iterator[Callable[[dict[str, Any], str], Subject]]:
    """Yield (request, precision) -> Subject, of which the last one is kept."""
    built: dict[tuple[str, str], Subject] = {}
    images: dict[str, dict[tuple[int, float], Tensor]] = {}

    def finish() -> None:
        for subject in built.values():
            subject.add_costs()
        built.clear()

    def subject(request: dict[str, Any], precision: str) -> Subject:
        name = request["row"]["name"]
        if (name, precision) not in built:
            finish()
            built[name, precision] = Subject(request, precision, images.setdefault(name, {}))
        return built[name, precision]

    yield subject
    finish()


def first_images(subject: Subject, z: Tensor, y: Tensor | None, guidance: float) -> Tensor | str:
    """Make the first call of a cell; return its images, or the reason why it cannot be measured."""
    if guidance and y is None:
        return "cannot be guided: there are no classes"
    if guidance in subject.peaks and subject.device.type == "cpu":
        smaller, peak = subject.peaks[guidance]
        if (reason := why_not_fit(peak, smaller, len(z), available_bytes())) is not None:
            return reason
    try:
        return subject.sampler.sample(z, y, guidance).images
    except UserError as error:
        if not guidance:
            raise
        return f"cannot be guided: {error}"
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return f"does not fit: {str(error).splitlines()[0]}"


def test_sampler_speed(benchmark: Any, cell: tuple[dict[str, Any], str, int, float], subject_of: Any):
    request, precision, batch_size, guidance = cell
    if precision == "bf16" and not takes_precision(request["row"]["type"]):
        pytest.skip("has no option 'precision'")
    subject = subject_of(request, precision)
    sampler, device, seconds = subject.sampler, subject.device, request["seconds"]
    z, y = inputs_of(sampler, batch_size, device)
    subject.prepare()  # before the first call, since what a CUDA graph holds is taken while it is captured
    images = first_images(subject, z, y, guidance)
    if isinstance(images, str):
        pytest.skip(images)
    error = subject.error(images, guidance)
    del images

    def call() -> None:
        sampler.sample(z, y, guidance)

    with watch_load() as load:
        warm = warm_up(call, device, min_seconds=seconds / 2, max_seconds=WARM_UP * seconds)
        rounds = n_calls(warm.seconds, seconds, request["min_calls"])
        benchmark.pedantic(timed(call, device), rounds=rounds, iterations=1)
        clock = clock_mhz(device)
    peak, median = subject.memory.peak(), benchmark.stats.stats.median
    subject.peaks[guidance] = batch_size, None if peak is None else peak - subject.weights

    benchmark.group = f"{precision}, batch {batch_size}, guidance {guidance:g}"
    benchmark.extra_info.update(
        sampler=request["row"]["name"],
        batch_size=batch_size,
        guidance=guidance,
        device=device_name(device),
        precision=precision,
        precision_error=error,
        commit=commit(),
        threads=torch.get_num_threads(),
        other_cores=load.other_cores,
        stolen_cores=load.stolen_cores,
        waits_passively=waits_passively(),
        stable=warm.stable or agree(warm.seconds, median),  # a slow call may outlast the warm-up
        clock_mhz=clock,
        peak_memory_bytes=peak,
    )
    if request["costs"]:
        subject.measured.append((benchmark.extra_info, call, median))
    assert median > 0
