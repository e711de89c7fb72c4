"""The speed benchmark: order, reading, flags, and one run of it with tiny settings."""

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from nfbench.config import FlowConfig, SamplerRow, SpeedConfig
from nfbench.errors import UserError
from nfbench.measure.speed import benchmark
from nfbench.measure.speed.benchmark import REPLICATE, TIME, orders, read_cells, rows_of, timed_once
from nfbench.measure.speed.forks import Forks
from nfbench.measurements import read_rows, write_rows

REQUEST = {"precisions": None, "batch_sizes": [1, 4], "guidance": [0.0]}
CELL = {
    **{"batch_size": 4, "guidance": 0.0, "seconds": 2.0, "device": "d", "precision": "fp32", "commit": "c"},
    **{"other_cores": 0.0, "stolen_cores": 0.0, "stable": True, "waits_passively": False},
    **{"clock_mhz": None, "peak_memory_bytes": 3 * 2**20, "precision_error": None},
}
COSTS = {"flops_per_image": 100, "utilisation": 0.5, "joules_per_image": None}


def test_every_sampler_is_timed_once_a_repetition_and_one_twice():
    names = ["a", "b", "c"]
    timed = timed_once(names, "b")
    drawn = orders(timed, repetitions=20, seed=0)
    everyone = Counter([("a", TIME), ("b", TIME), ("c", TIME), ("b", REPLICATE)])
    assert all(Counter(order) == everyone for order in drawn)
    assert len(set(map(tuple, drawn))) > 10
    assert drawn == orders(timed, repetitions=20, seed=0)
    assert drawn != orders(timed, repetitions=20, seed=1)
    assert timed_once(names)[-1] == ("a", REPLICATE)


def test_a_replicate_that_is_not_timed_and_nothing_to_time_are_refused():
    with pytest.raises(UserError, match=r"'speed.replicate' is 'x'; it must be .* a, b"):
        timed_once(["a", "b"], "x")
    with pytest.raises(UserError, match="no sampler is to be timed"):
        timed_once([])


def test_a_row_with_guidance_of_its_own_is_timed_at_that_scale_alone():
    assert benchmark.scales_of({"guidance": 0.0}, [0, 1.5]) == [0, 1.5]
    assert benchmark.scales_of({"guidance": 2.0}, [0, 1.5]) == [2.0]


def test_a_cell_becomes_a_row_for_each_quantity_and_a_missing_one_a_row_without_time():
    rows = rows_of(("s", TIME), 2, REQUEST, [CELL | {"costs": COSTS}])
    missing, *measured = rows
    assert missing["value"] is None
    assert (missing["metric"], missing["batch_size"], missing["flag"]) == ("ms_per_image", 1, "not_measured")
    values = {row["metric"]: row["value"] for row in measured}
    assert values == {
        **{"ms_per_image": 500.0, "peak_memory_mib": 3.0, "other_cores": 0.0, "clock_mhz": None},
        **{"flops_per_image": 100.0, "utilisation": 0.5, "joules_per_image": None},
    }
    for row in measured:
        assert (row["sampler"], row["batch_size"], row["guidance"], row["repetition"]) == ("s", 4, 0.0, 2)
        assert (row["device"], row["precision"], row["commit"]) == ("d", "fp32", "c")


def test_every_precision_has_its_rows_and_the_others_their_error():
    request = REQUEST | {"precisions": ["fp32", "bf16"], "batch_sizes": [4]}
    rows = rows_of(("s", TIME), 0, request, [CELL, CELL | {"precision": "bf16", "precision_error": 0.25}])
    times = [(row["precision"], row["value"]) for row in rows if row["metric"] == "ms_per_image"]
    assert times == [("fp32", 500.0), ("bf16", 500.0)]
    errors = [(row["precision"], row["value"]) for row in rows if row["metric"] == "precision_error"]
    assert errors == [("bf16", 0.25)]
    missing = rows_of(("s", TIME), 0, request, [CELL])
    assert [row["value"] for row in missing if row["precision"] == "bf16"] == [None]


def test_a_row_with_a_precision_of_its_own_is_timed_in_that_alone():
    assert benchmark.precisions_of({"options": {}}, None) is None
    assert benchmark.precisions_of({"options": {"precision": "bf16"}}, None) == ["bf16"]


def test_of_a_replicate_the_time_alone_is_kept():
    rows = rows_of(("s", REPLICATE), 0, REQUEST, [CELL])
    assert [row["metric"] for row in rows] == ["ms_per_image_replicate"] * 2


@pytest.mark.parametrize(
    ("changed", "flag"),
    [
        ({}, ""),
        ({"other_cores": 0.3}, "busy"),
        ({"stolen_cores": 0.2, "stable": False}, "busy"),
        ({"stable": False}, "unstable"),
        ({"waits_passively": True}, "unstable"),
    ],
)
def test_times_carry_the_flag_of_their_cell_and_counts_do_not(changed, flag):
    rows = rows_of(("s", TIME), 0, REQUEST, [CELL | {"costs": COSTS} | changed])[1:]
    flags = {row["metric"]: row.get("flag", "") for row in rows}
    assert flags["ms_per_image"] == flags["utilisation"] == flag
    assert flags["flops_per_image"] == flags["peak_memory_mib"] == ""
    assert flags["joules_per_image"] == "not_measured"
    assert benchmark.needs_costs(rows, "s") is (flag != "")
    assert benchmark.needs_costs(rows, "another")


def test_rows_without_a_time_get_the_origin_of_the_others():
    rows = benchmark.with_origin(rows_of(("s", TIME), 0, REQUEST, [CELL]))
    assert {(row["device"], row["precision"], row["commit"]) for row in rows} == {("d", "fp32", "c")}
    with pytest.raises(UserError, match="no sampler could be timed"):
        benchmark.with_origin(rows_of(("s", TIME), 0, REQUEST, []))


def result(path: Path, *, median: float = 2.0, **notes) -> Path:
    """Write a file as pytest-benchmark does, of one cell."""
    entry = {"name": "x", "stats": {"median": median, "data": []}, "extra_info": {"batch_size": 4} | notes}
    path.write_text(json.dumps({"machine_info": {}, "benchmarks": [entry]}))
    return path


def test_a_cell_has_its_median_and_all_its_notes(tmp_path: Path):
    assert read_cells(result(tmp_path / "x.json", a=1)) == [{"batch_size": 4, "a": 1, "seconds": 2.0}]
    (tmp_path / "empty.json").write_text("")  # what pytest-benchmark leaves where all was skipped
    assert read_cells(tmp_path / "empty.json") == []


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"benchmarks": [{"stats": {}}]}', None])
def test_a_file_that_is_no_result_is_named_in_the_error(tmp_path: Path, content: str | None):
    path = result(tmp_path / "x.json", median=0.0)
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"x\.json"):
        read_cells(path)
    with pytest.raises(UserError, match=r"none\.json"):
        read_cells(tmp_path / "none.json")


def ending(status: int, printed: str):
    """Return what runs a process that ends so."""

    def run(arguments, output):
        output.write_text(printed)
        return status

    return run


def test_a_killed_process_leaves_its_cells_unmeasured():
    log = []
    assert benchmark.run_process({"row": {"name": "s"}}, ending(-9, "a part"), log.append) == []
    assert log == ["killed by signal 9, as happens where memory runs out"]


def test_a_failed_process_raises_its_user_error_or_names_the_log():
    log, known = [], ending(1, "E   nfbench.errors.UserError: m.safetensors is missing.\n")
    with pytest.raises(UserError, match=r"^m.safetensors is missing\.$"):
        benchmark.run_process({"row": {"name": "s"}}, known, [].append)
    with pytest.raises(UserError, match="timing of 's' failed"):
        benchmark.run_process({"row": {"name": "s"}}, ending(1, "E   ValueError: no\n"), log.append)
    assert log == ["E   ValueError: no"]


KILLED = """
import os, signal
def test_alone():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processes_are_forked_one_after_the_other_and_one_that_is_killed_harms_no_other(tmp_path):
    (tmp_path / "test_killed.py").write_text(KILLED)
    (tmp_path / "test_own.py").write_text("import os\ndef test_own(): print(f'process {os.getpid()}.')")
    output = tmp_path / "output.txt"
    with Forks() as run:
        assert run([str(tmp_path / "test_killed.py")], output) == -signal.SIGKILL
        printed = []
        for _ in range(2):
            assert run([str(tmp_path / "test_own.py"), "-s"], output) == 0
            printed.append(output.read_text().partition("process ")[2].partition(".")[0])
        assert len({*printed, str(os.getpid())}) == 3
        os.kill(run._server.pid, signal.SIGKILL)
        run._server.wait()
        with pytest.raises(UserError, match="has ended"):
            run([], output)


OWN = '''
import torch
from nfbench.sample.sampler import Sampled

class Scaled:
    """Scales the noise."""

    name = "scaled"
    output = "noisy"
    latent_shape, n_classes = (16, 4), 10

    def __init__(self, flow):
        self.flow = flow

    def flops_per_image(self, guidance):
        return 1000

    def to(self, device):
        return self

    def sample(self, z, y, guidance=0.0):
        return Sampled(2 * z, nfe=0.0)
'''


def subject(name: str, **keys) -> dict:
    """Return a sampler of a tiny random flow."""
    row = SamplerRow(name=name, group=name, flow="flow", output="noisy", **keys)
    sizes = {"patch_size": 2, "width": 8, "blocks": 2, "layers": 1, "head_dim": 4, "training": {"steps": 0}}
    return benchmark.random_subject(row, FlowConfig(**sizes, shape=(1, 8, 8), n_classes=10))


def test_a_sampler_of_one_s_own_with_random_weights_gives_complete_rows(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    own = subject("own", type=f"{tmp_path}/own.py:Scaled", guidance=1.0)
    speed = SpeedConfig(batch_sizes=[1, 2], repetitions=1, seconds=0.01, min_calls=2).model_dump(mode="json")
    run, known = benchmark.run_process, []

    def run_once(request, forks, report):  # the replicate takes what was timed
        known.append(known[0] if known else run(request | {"costs": True}, forks, report))
        return known[0]

    monkeypatch.setattr(benchmark, "run_process", run_once)
    rows = benchmark.measure([own], speed, device="cpu", threads=1, report=[].append)
    write_rows(tmp_path / "speed.csv", rows)
    frame = read_rows(tmp_path / "speed.csv")
    assert len(known) == 2
    assert set(frame["precision"]) == {"fp32"}
    assert set(frame["guidance"]) == {1.0}
    assert (frame["value"].notna() | (frame["flag"] == "not_measured")).all()
    metrics = {"ms_per_image", "ms_per_image_replicate", "peak_memory_mib", "other_cores", "clock_mhz"}
    metrics |= {"flops_per_image", "utilisation", "joules_per_image"}
    assert all(set(frame.loc[frame["batch_size"] == n, "metric"]) == metrics for n in (1, 2))
    value = frame.set_index("metric")["value"]
    assert (value[["ms_per_image", "ms_per_image_replicate", "utilisation"]] > 0).all()
    assert (value["flops_per_image"] == 1000).all()
