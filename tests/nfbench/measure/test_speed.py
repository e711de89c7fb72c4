"""Warm-up, load and the reading of pytest-benchmark's JSON, on a clock of our own."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from nfbench.errors import UserError
from nfbench.measure import speed


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(speed, "time", clock)
    return clock


def calls_taking(clock: Clock, *seconds: float):
    """Return a call that takes these times, then the last one for ever."""
    times = list(seconds)

    def call() -> None:
        clock.now += times.pop(0) if len(times) > 1 else times[0]

    return call


def test_a_steady_call_is_warm_after_two_blocks(clock: Clock):
    warm = speed.warm_up(calls_taking(clock, 1.0), "cpu")
    assert warm == speed.WarmUp(seconds=1.0, calls=6, stable=True)


def test_a_call_that_gets_faster_is_warm_when_it_stops(clock: Clock):
    warm = speed.warm_up(calls_taking(clock, *[3.0] * 3, *[2.0] * 3, 1.0), "cpu", max_seconds=99)
    assert warm == speed.WarmUp(seconds=1.0, calls=12, stable=True)


def test_a_short_call_is_repeated_for_the_least_time(clock: Clock):
    warm = speed.warm_up(calls_taking(clock, 0.03125), "cpu", min_seconds=0.25)
    assert warm == speed.WarmUp(seconds=0.03125, calls=16, stable=True)


def test_a_slow_call_is_made_once_and_said_to_be_unstable(clock: Clock):
    warm = speed.warm_up(calls_taking(clock, 50.0), "cpu", max_seconds=10)
    assert warm == speed.WarmUp(seconds=50.0, calls=1, stable=False)


def test_timed_makes_the_call_once():
    calls = []
    speed.timed(lambda: calls.append(1), "cpu")()
    assert calls == [1]


@pytest.mark.parametrize(("seconds", "rounds"), [(0.5, 20), (60, 5), (2, 5), (1e-6, 1000), (0, 1000)])
def test_rounds_fill_the_time_within_bounds(seconds: float, rounds: int):
    assert speed.rounds_within(seconds, max_seconds=10, min_rounds=5) == rounds


def test_the_load_of_others_leaves_out_our_own(monkeypatch: pytest.MonkeyPatch):
    now = SimpleNamespace(wall=0.0, own=0.0, all=100.0)
    fake = SimpleNamespace(perf_counter=lambda: now.wall, process_time=lambda: now.own)
    monkeypatch.setattr(speed, "time", fake)
    monkeypatch.setattr(speed, "_busy_seconds", lambda: now.all)
    with speed.watch_others() as others:
        now.wall, now.own, now.all = 4.0, 6.0, 107.0
    assert others.cores == 0.25
    monkeypatch.setattr(speed, "_busy_seconds", lambda: None)
    with speed.watch_others() as others:
        now.wall += 1
    assert others.cores is None


@pytest.mark.parametrize(
    ("other_cores", "load_average", "busy"),
    [(0.1, 9.0, False), (0.9, 0.0, True), (None, 1.2, True), (None, None, False)],
)
def test_the_load_average_counts_only_where_the_others_are_unknown(other_cores, load_average, busy):
    assert speed.is_busy(other_cores, load_average) is busy


def benchmark_file(path: Path, **extra) -> Path:
    """Write a file as pytest-benchmark does, of one cell."""
    info = {"sampler": "s", "batch_size": 4, "device": "cpu", "threads": 2, "other_cores": 1.5}
    stats = {"median": 2.0, "q1": 1.5, "q3": 3.0, "rounds": 5, "data": []}
    benchmark = {"name": "x", "stats": stats, "extra_info": info | {"load_average": 0.3} | extra}
    path.write_text(json.dumps({"machine_info": {}, "benchmarks": [benchmark]}))
    return path


def test_a_row_has_its_times_and_all_extra_info(tmp_path: Path):
    (row,) = speed.read_benchmark_json(benchmark_file(tmp_path / "speed.json", torch="2"))
    assert row == {
        "sampler": "s",
        "batch_size": 4,
        "device": "cpu",
        "threads": 2,
        "median_s": 2.0,
        "q1_s": 1.5,
        "q3_s": 3.0,
        "seconds_per_image": 0.5,
        "rounds": 5,
        "busy": True,
        "other_cores": 1.5,
        "load_average": 0.3,
        "torch": "2",
    }


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"benchmarks": [{"stats": {}}]}'])
def test_a_corrupt_file_is_named_in_the_error(tmp_path: Path, content: str):
    path = tmp_path / "speed.json"
    path.write_text(content)
    with pytest.raises(UserError, match="speed.json"):
        speed.read_benchmark_json(path)


def test_a_missing_file_is_named_in_the_error(tmp_path: Path):
    with pytest.raises(UserError, match="speed.json"):
        speed.read_benchmark_json(tmp_path / "speed.json")
