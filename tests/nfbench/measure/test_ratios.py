"""Rounds, ratios and their table, on a clock of our own."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from nfbench.errors import UserError
from nfbench.measure import ratios

TABLE = """\
| T | batch | guidance | slow ms | fast ms | fast/slow (quartiles) | machine |
| ---: | ---: | ---: | ---: | ---: | ---: | --- |
| 49 | 4 | 1 | 250 | 50.00 | 0.20 (0.18 to 0.25) | quiet |

cpu, threads: 2, torch 2.0, commit abc, rounds: 7
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a clock that stands still; its `now` is set by hand, in seconds."""
    clock = SimpleNamespace(now=0.0)
    clock.perf_counter = lambda: clock.now
    monkeypatch.setattr(ratios, "time", clock)
    return clock


def contestants(clock: SimpleNamespace, calls: list[str], **seconds: float):
    """Return contestants that take these times at first and twice as long in every further call."""

    def make(name: str):
        def call() -> None:
            clock.now += seconds[name] * 2 ** calls.count(name)
            calls.append(name)

        return call

    return {name: make(name) for name in seconds}


def cell(**changes) -> dict:
    """Return a benchmark as pytest-benchmark writes it, some of its extra_info changed."""
    info = {
        **{"tokens": 49, "batch_size": 4, "guidance": 1.0, "device": "cpu", "threads": 2, "torch": "2.0"},
        **{"commit": "abc", "other_cores": 0.0, "load_average": 3.0, "warm_up_stable": True},
        "milliseconds": {"slow": 250.0, "fast": 50.0},
        "ratios": {"fast/slow": {"q1": 0.18, "median": 0.2, "q3": 0.25}},
    }
    return {"name": "x", "stats": {"rounds": 7}, "extra_info": info | changes}


def written(path: Path, *cells: dict) -> Path:
    path.write_text(json.dumps({"benchmarks": list(cells)}))
    return path


def test_every_contestant_is_called_once_a_round_in_an_order_that_changes(clock: SimpleNamespace):
    calls: list[str] = []
    interleaved = ratios.Interleaved(contestants(clock, calls, a=1.0, b=1.0, c=1.0), seed=0)
    for _ in range(12):
        interleaved.round()
    orders = [tuple(calls[i : i + 3]) for i in range(0, 36, 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(set(orders)) > 3
    again: list[str] = []
    repeated = ratios.Interleaved(contestants(clock, again, a=1.0, b=1.0, c=1.0), seed=0)
    for _ in range(12):
        repeated.round()
    assert again == calls


def test_a_ratio_is_of_two_calls_of_the_same_round(clock: SimpleNamespace):
    interleaved = ratios.Interleaved(contestants(clock, [], slow=4.0, fast=1.0), seed=0)
    for _ in range(3):
        interleaved.round()
    assert interleaved.seconds == {"slow": [4, 8, 16], "fast": [1, 2, 4]}
    summed = ratios.summary(interleaved.seconds, [("fast", "slow")])
    assert summed["milliseconds"] == {"slow": 8000, "fast": 2000}
    assert summed["ratios"] == {"fast/slow": {"q1": 0.25, "median": 0.25, "q3": 0.25}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5, 1, 2, 4, 3], (2, 3, 4)), ([1, 2], (1.25, 1.5, 1.75)), ([7], (7, 7, 7))],
)
def test_quartiles_are_linear_between_neighbours(values: list[float], expected: tuple[float, ...]):
    assert tuple(ratios.quartiles(values).values()) == expected


def test_a_row_has_its_ratios_and_all_extra_info(tmp_path: Path):
    path = written(tmp_path / "ratios.json", cell(sweeps={"fast": [2.0]}))
    (row,) = ratios.read_ratios(path)
    assert row == cell()["extra_info"] | {"sweeps": {"fast": [2.0]}, "rounds": 7, "busy": False}


def test_a_table_shows_medians_and_quartiles(tmp_path: Path):
    assert ratios.ratio_table(ratios.read_ratios(written(tmp_path / "ratios.json", cell()))) == TABLE


def test_a_busy_row_and_one_that_was_not_warm_are_marked(tmp_path: Path):
    cells = cell(other_cores=1.5), cell(other_cores=None), cell(warm_up_stable=False)
    rows = ratios.read_ratios(written(tmp_path / "ratios.json", *cells))
    assert [row["busy"] for row in rows] == [True, True, False]
    marks = [line.split(" | ")[-1] for line in ratios.ratio_table(rows).splitlines()[2:5]]
    assert marks == ["busy |", "busy |", "quiet, not warm |"]


def test_other_contestants_get_a_table_of_their_own(tmp_path: Path):
    other = cell(milliseconds={"x": 1.0, "y": 2.0}, ratios={"x/y": {"q1": 0.5, "median": 0.5, "q3": 0.5}})
    table = ratios.ratio_table(ratios.read_ratios(written(tmp_path / "ratios.json", cell(), other, cell())))
    first, second = table.split("| T |")[1:]
    assert first.count("| 49 |") == 2
    assert second.startswith(" batch | guidance | x ms | y ms | x/y (quartiles) |")


def test_benchmarks_without_ratios_are_passed_over(tmp_path: Path):
    path = written(tmp_path / "ratios.json", {"extra_info": {"sampler": "s"}}, cell())
    assert len(ratios.read_ratios(path)) == 1


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}", '{"benchmarks": []}', '{"benchmarks": [{"stats": {}}]}'),
        *('{"benchmarks": 3}', '{"benchmarks": [{"extra_info": {"ratios": {}}}]}', "\xff"),
        *(json.dumps({"benchmarks": [cell(ratios=value)]}) for value in ({"a/b": {}}, [1], None)),
        *(json.dumps({"benchmarks": [cell(milliseconds={"a": v})]}) for v in ("1", 0, float("nan"))),
    ],
)
def test_a_corrupt_file_is_named_in_the_error(tmp_path: Path, content: str):
    path = tmp_path / "ratios.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"ratios\.json .*make it with: pytest"):
        ratios.read_ratios(path)


def test_the_command_prints_the_table_or_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = written(tmp_path / "ratios.json", cell())
    ratios.main([str(path)])
    assert capsys.readouterr().out == TABLE
    ratios.main([str(path), "--out", str(tmp_path / "ratios.md")])
    assert capsys.readouterr().out == ""
    assert (tmp_path / "ratios.md").read_text() == TABLE


def test_the_command_says_what_is_wrong_in_a_sentence(tmp_path: Path):
    with pytest.raises(SystemExit) as stopped:
        ratios.main([str(tmp_path / "missing.json")])
    (message,) = str(stopped.value.code).splitlines()
    assert message.startswith("error: ")
    assert "missing.json" in message
