"""The protocol's order, and its rounds' intervals, ratios and rules, without measuring anything."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from nfbench import rounds
from nfbench.errors import UserError
from nfbench.measure import protocol
from nfbench.rounds import Interval, interval, ratio, repeatability

ORIGIN = {"device": "cpu x", "commit": "abc", "precision": "fp32", "threads": 2}


def test_every_round_has_every_entrant_once_in_an_order_that_the_seed_settles():
    names = protocol.entrants(["a", "b", "c"], twin="b")
    assert names == ["a", "b", "c", "b#again"]
    drawn = protocol.orders(names, 20, seed=3)
    assert all(sorted(order) == sorted(names) for order in drawn)
    assert drawn == protocol.orders(names, 20, seed=3)
    assert drawn != protocol.orders(names, 20, seed=4)
    assert len({tuple(order) for order in drawn}) > 5


def test_a_twin_of_no_contestant_is_refused():
    with pytest.raises(UserError, match="'speed.protocol.twin' is 'x'; it must be one of a, b"):
        protocol.entrants(["a", "b"], twin="x")


def test_equal_values_have_an_interval_of_no_width_and_a_single_one_has_none():
    found = interval([2.0, 2.0, 2.0])
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))
    assert interval([3.0]) == Interval(pytest.approx(3.0), None, None, 1)
    assert not interval([3.0]).contains(3.0)


def test_the_interval_of_two_values_is_student_s_on_logarithms():
    found = interval([1.0, math.e**2])
    half = 12.706204736 * math.sqrt(2) / math.sqrt(2)  # t of one degree of freedom, deviation sqrt(2)
    assert found.mean == pytest.approx(math.e)
    assert math.log(found.high) == pytest.approx(1 + half)
    assert math.log(found.low) == pytest.approx(1 - half)


def test_the_interval_of_reciprocals_is_the_reciprocal_interval():
    values = [1.0, 1.3, 0.9, 1.1]
    found, inverse = interval(values), interval([1 / value for value in values])
    assert (found.low, found.mean, found.high) == pytest.approx(
        (1 / inverse.high, 1 / inverse.mean, 1 / inverse.low)
    )


def test_intervals_of_lognormal_values_cover_their_mean_as_often_as_they_say():
    draws = np.exp(0.1 * np.random.default_rng(0).standard_normal((1000, 4)))
    covered = sum(interval(row).contains(1.0) for row in draws.tolist())
    assert covered == pytest.approx(950, abs=21)  # three standard deviations of a binomial


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [-1.0]])
def test_times_that_are_none_have_no_mean(values):
    with pytest.raises(ValueError, match="no geometric mean"):
        interval(values)


def test_a_ratio_pairs_rounds_and_so_is_blind_to_the_machine_s_drift():
    fast, slow = {0: 1.0, 1: 2.0, 2: 4.0}, {0: 3.0, 1: 6.0, 2: 12.0, 3: 99.0}
    found = ratio(slow, fast)
    assert (found.low, found.mean, found.high, found.n) == pytest.approx((3, 3, 3, 3))
    assert ratio({0: 1.0}, {1: 1.0}) is None


def test_a_contestant_is_repeatable_where_intervals_of_1_are_left_out_by_chance_alone():
    inside, outside = Interval(1.01, 0.9, 1.1, 4), Interval(1.2, 1.1, 1.3, 4)
    assert repeatability([None, Interval(1.0, None, None, 1)]) is None
    found = repeatability([inside] * 7 + [outside])
    assert (found.cells, found.within, found.holds) == (8, 7, True)
    assert found.largest == pytest.approx(0.2)
    assert "7 of 8 intervals" in found.in_words()
    assert not repeatability([inside] * 5 + [outside] * 3).holds
    assert repeatability([Interval(1 / 1.5, 0.5, 1.1, 4)]).largest == pytest.approx(0.5)


def cell(seconds, size=1, guidance=0.0, **changes):
    known = {"batch_size": size, "guidance": guidance, "median_s": seconds, "disturbed": None, "work": None}
    return known | changes


def run(entrant, round_, cells, **changes):
    known = {"entrant": entrant, "round": round_, "cells": cells, "missing": [], "provenance": ORIGIN}
    return known | changes


def test_a_disturbed_process_stays_in_the_file_and_out_of_the_means():
    runs = [run("a", 0, [cell(1.0)]), run("a", 1, [cell(9.0, disturbed="busy")]), run("b", 0, [cell(5.0)])]
    cells = rounds.cells_of(runs, "a", 1, 0.0)
    assert set(cells) == {0, 1}
    assert rounds.quiet_seconds(cells) == {0: 1.0}
    assert rounds.cells_of(runs, "a", 16, 0.0) == {}


def test_the_twin_is_compared_cell_by_cell():
    both = [run(name, i, [cell(2.0), cell(4.0, size=8)]) for i in (0, 1) for name in ("a", "a#again")]
    first, second, missing = rounds.twin_ratios(both, "a", [8, 1, 64], [0.0])
    assert (first.mean, second.mean, missing) == (pytest.approx(1), pytest.approx(1), None)


def test_work_is_weighed_until_an_undisturbed_process_has_done_it():
    done = cell(1.0, work={"flops_per_image": 1.0})
    assert protocol.needs_work([], "a")
    assert protocol.needs_work([run("a", 0, [done | {"disturbed": "busy"}])], "a")
    assert not protocol.needs_work([run("a", 0, [done])], "a")
    assert protocol.needs_work([run("a", 0, [done, cell(1.0, size=8)])], "a")
    assert not protocol.needs_work([], "a#again")


@pytest.mark.parametrize("key", ["device", "commit", "threads"])
def test_processes_of_several_devices_or_commits_are_refused(key):
    runs = [run("a", 0, []), run("a", 1, [], provenance=ORIGIN | {key: "other"})]
    with pytest.raises(UserError, match=f"speed.json was measured with more than one {key}"):
        rounds.check_origin(runs, "speed.json")
    assert rounds.check_origin([*runs[:1], run("b", 0, [], provenance=None)], "speed.json") == ORIGIN
    with pytest.raises(UserError, match="no process timed anything"):
        rounds.check_origin([run("b", 0, [], provenance=None)], "speed.json")


def process_file(path: Path, **extra) -> Path:
    """Write a file as a process does, of one cell."""
    info = {"batch_size": 4, "guidance": 0.0, "threads": 2, "other_cores": 0.1, "stolen_cores": 0.0}
    stats = {"median": 2.0, "q1": 1.5, "q3": 3.0, "rounds": 5}
    benchmark = {"stats": stats, "extra_info": info | {"load_average": 0.3} | extra}
    missing = [{"batch_size": 4, "guidance": 1.0, "reason": "not guided"}]
    notes = {"missing": missing, "provenance": ORIGIN, "conditions": {}}
    path.write_text(json.dumps({"benchmarks": [benchmark], "protocol": notes}))
    return path


def test_a_process_s_file_is_read_and_every_cell_is_timed_or_has_a_reason(tmp_path: Path):
    found = protocol.read_run(process_file(tmp_path / "run.json"), [(4, 0.0), (4, 1.0), (16, 0.0)])
    (timed,) = found["cells"]
    assert (timed["median_s"], timed["rounds"], timed["disturbed"]) == (2.0, 5, None)
    assert [missing["reason"] for missing in found["missing"]] == [
        "not guided",
        "not timed; the log tells why",
    ]


def test_a_busy_process_is_flagged_when_it_is_read(tmp_path: Path):
    found = protocol.read_run(process_file(tmp_path / "run.json", other_cores=1.5), [])
    assert found["cells"][0]["disturbed"] == "other processes used 1.50 cores"


def test_a_process_that_timed_nothing_or_was_killed_leaves_reasons(tmp_path: Path):
    path = tmp_path / "run.json"
    path.touch()
    (missing,) = protocol.read_run(path, [(1, 0.0)])["missing"]
    assert missing["reason"].startswith("nothing was timed")
    (missing,) = protocol.killed_run(9, [(1, 0.0)])["missing"]
    assert "ended by signal 9" in missing["reason"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"benchmarks": [{}], "protocol": {"missing": []}}'])
def test_a_corrupt_file_is_named_in_the_error(tmp_path: Path, content: str):
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(UserError, match="run.json"):
        protocol.read_run(path, [])
    with pytest.raises(UserError, match="run.json"):
        rounds.read_protocol(path)


def test_a_time_of_zero_is_no_time(tmp_path: Path):
    path = process_file(tmp_path / "run.json")
    path.write_text(path.read_text().replace('"median": 2.0', '"median": 0.0'))
    with pytest.raises(UserError, match="0.0 is no time"):
        protocol.read_run(path, [])
