"""The table of speed, its figure and table 4, from processes that were never run."""

import re
from pathlib import Path

import pandas as pd
import pytest

import biflow  # noqa: F401 - registers the samplers that the table asks about
from nfbench.errors import UserError
from nfbench.report import style
from nfbench.report.paper_numbers import read_paper_numbers
from nfbench.report.speed_figures import speedup_against_batch
from nfbench.report.speed_table import COLUMNS, read_speed, speed_rows
from nfbench.report.table4 import PUBLISHED, fastest, in_markdown, published_rows, table4
from nfbench.report.tables import write_csv

NAMES = ("sequential+denoise", "sequential-static+denoise", "jacobi@tuned+denoise", "biflow")
SECONDS = dict(zip(NAMES, (0.2, 0.1, 0.05, 0.01), strict=True))
DRIFT = (1.0, 1.5, 2.0)  # how slow the machine is, by round
COMMIT = "0123456789ab"
WORK = {"flops_per_image": 1e6, "utilisation": 0.25, "joules_per_image": None, "joules_reason": "no driver"}
ORIGIN = {"device": "cpu x", "device_type": "cpu", "precision": "fp32", "threads": 2, "commit": COMMIT}
ORIGIN |= {"versions": {"torch": "2.11"}}
STATE = {"threads": 2, "openmp": "default", "clock_mhz": 2000.0, "governor": "performance"}
STATE |= {"load_average": 0.1, "driver": "580", "waits_passively": False}


def cell(seconds, size, scale, **changes):
    known = {"batch_size": size, "guidance": scale, "median_s": seconds, "disturbed": None, "work": WORK}
    known |= {"warm_up_stable": True, "peak_memory_bytes": 2**20, "peak_memory_reason": None}
    return known | {"other_cores": 0.0, "stolen_cores": 0.0} | changes


def process(entrant, round_, sizes=(1, 16)):
    """Return the run of a sampler whose time grows with the batch's root; guidance doubles it."""
    seconds = SECONDS[entrant.removesuffix("#again")] * DRIFT[round_]
    cells = [cell(seconds * size**0.5 * (1 + scale), size, scale) for scale in (0.0, 1.0) for size in sizes]
    missing = []
    if entrant == "biflow":
        missing = [
            {"batch_size": c["batch_size"], "guidance": 1.0, "reason": "not guided"} for c in cells[2:]
        ]
        cells = cells[:2]
    known = {"entrant": entrant, "round": round_, "cells": cells, "missing": missing}
    return known | {"provenance": ORIGIN, "conditions": STATE}


@pytest.fixture
def protocol():
    return {
        "experiment": "toy",
        "settings": {"batch_sizes": [16, 1], "guidance": [0.0, 1.0]},
        "config_hash": "12345678901e",
        "contestants": list(NAMES),
        "twin": NAMES[0],
        "runs": [process(name, i) for i in range(3) for name in (*NAMES, f"{NAMES[0]}#again")],
    }


def row_of(rows, sampler, size=1, scale=0.0):
    (found,) = rows[
        (rows["sampler"] == sampler) & (rows["batch_size"] == size) & (rows["guidance"] == scale)
    ].to_dict("records")
    return found


def test_every_sampler_batch_and_scale_has_a_row(protocol):
    rows = speed_rows(protocol)
    assert list(rows.columns) == list(COLUMNS)
    assert len(rows) == 4 * 2 * 2
    assert set(rows["device"]) == {"cpu x"}
    row = row_of(rows, "jacobi+denoise", size=16)
    assert row["variant"] == "tuned"
    assert row["ms_per_image"] == pytest.approx(1e3 * 0.05 * 4 / 16 * 3 ** (1 / 3))
    assert row["ms_per_image_low"] < row["ms_per_image"] < row["ms_per_image_high"]
    assert row["images_per_second"] == pytest.approx(1e3 / row["ms_per_image"])
    assert (row["peak_memory_mib"], row["utilisation"], row["processes"]) == (1.0, 0.25, 3)
    assert row["notes"] == "no energy: no driver"


def test_speedups_are_of_pairs_of_processes_against_the_fastest_exact_inverse(protocol):
    rows = speed_rows(protocol)
    row = row_of(rows, "biflow")
    found = [row[f"speedup{part}"] for part in ("", "_low", "_high")]
    assert found == pytest.approx([10.0] * 3)  # the drift, which both had, is not in it
    assert row["baseline"] == "sequential-static+denoise"
    assert row_of(rows, "sequential-static+denoise")["speedup"] == 1.0
    assert row_of(rows, "sequential+denoise")["speedup"] == pytest.approx(0.5)


def test_the_twin_s_ratio_stands_in_its_contestant_s_rows_alone(protocol):
    rows = speed_rows(protocol)
    assert row_of(rows, NAMES[0])["repeat_ratio"] == pytest.approx(1.0)
    assert rows.loc[rows["sampler"] != NAMES[0], "repeat_ratio"].isna().all()


def test_a_missing_cell_has_its_reason_and_no_number(protocol):
    row = row_of(speed_rows(protocol), "biflow", scale=1.0)
    assert row["missing"] == "not guided"
    numbers = ("ms_per_image", "images_per_second", "speedup", "peak_memory_mib", "flops_per_image")
    assert all(pd.isna(row[name]) for name in numbers)


def test_a_busy_process_is_flagged_and_left_out(protocol):
    for run in protocol["runs"]:
        if run["entrant"] == "biflow" and run["round"] == 2:
            run["cells"][0]["disturbed"] = "other processes used 1.00 cores"
        if run["entrant"] == "jacobi@tuned+denoise":
            run["cells"][0]["disturbed"] = "other processes used 1.00 cores"
    rows = speed_rows(protocol)
    row = row_of(rows, "biflow")
    assert (row["processes"], row["disturbed"]) == (2, 1)
    assert row["ms_per_image"] == pytest.approx(10 * 1.5**0.5)
    assert "1 of 3 processes on a busy machine, left out" in row["notes"]
    all_busy = row_of(rows, "jacobi+denoise")
    assert pd.isna(all_busy["ms_per_image"])
    assert all_busy["missing"].startswith(
        "the machine was busy in all 3 processes (other processes used 1.00"
    )


def test_a_protocol_of_two_devices_is_refused(protocol):
    protocol["runs"][1]["provenance"] = ORIGIN | {"device": "gpu y"}
    with pytest.raises(UserError, match="more than one device"):
        speed_rows(protocol)


def written(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, rows)
    return path


def test_a_table_is_read_as_it_was_written(protocol, tmp_path):
    rows = speed_rows(protocol)
    read = read_speed(written(tmp_path / "speed.csv", rows))
    assert read["config_hash"].unique().tolist() == ["12345678901e"]
    pd.testing.assert_frame_equal(read, rows, check_dtype=False)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows.drop(columns="device"), "no table of speed of this version"),
        (lambda rows: rows.assign(device=["a", *["b"] * (len(rows) - 1)]), "of 2 devices"),
        (lambda rows: rows.assign(device=None), "of 0 devices"),
        (lambda rows: pd.concat([rows, rows[:1]]), "is there twice"),
        (lambda rows: rows.assign(missing=None), "neither a time nor a reason"),
        (lambda rows: rows.assign(ms_per_image=-1.0), "a time is not positive"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_a_sentence(protocol, tmp_path, change, sentence):
    path = written(tmp_path / "speed.csv", change(speed_rows(protocol)))
    with pytest.raises(UserError, match=f"speed.csv.*{re.escape(sentence)}"):
        read_speed(path)


def test_a_table_that_is_none_or_missing_is_refused(tmp_path):
    with pytest.raises(UserError, match="speed.csv is missing"):
        read_speed(tmp_path / "speed.csv")
    (tmp_path / "speed.csv").write_text("")
    with pytest.raises(UserError, match="cannot be read as a table of speed"):
        read_speed(tmp_path / "speed.csv")


@pytest.fixture
def sources(protocol, tmp_path):
    """Return this machine's table, and a reference of another device and commit."""
    rows = speed_rows(protocol)
    other = rows.assign(device="gpu y", device_type="cuda", commit="fedcba987654")
    return (
        written(tmp_path / "own/speed.csv", rows),
        written(tmp_path / "toy-h100/speed.csv", other[other["batch_size"] == 1]),
    )


def test_table_4_puts_references_and_published_times_beside_ours(sources):
    own, reference = sources
    rows = table4([own], [reference], read_paper_numbers(), COMMIT)
    assert rows["source"].value_counts().to_dict() == {"measured": 16, "toy-h100": 8, PUBLISHED: 9}
    assert rows.groupby("source")["device"].nunique().loc[["measured", "toy-h100"]].tolist() == [1, 1]
    assert rows.loc[rows["source"] == "measured", "marks"].isna().all()
    marks = rows.loc[rows["source"] == "toy-h100", "marks"]
    assert set(marks) == {"of another commit, fedcba987654"}
    paper = rows[rows["paper_id"] == "biflow-improved-tarflow-b-2-exact-inverse-imagenet256"].iloc[0]
    number = read_paper_numbers()[paper["paper_id"]]
    assert (paper["ms_per_image"], paper["device"]) == (number.ms_per_image, number.device)
    assert paper["marks"] == "second-hand"
    assert pd.isna(paper["speedup"])


def test_rows_of_a_changed_or_unknown_tree_are_marked(sources):
    own, _ = sources
    write_csv(own, read_speed(own).assign(commit=f"{COMMIT}+dirty"))
    (mark,) = table4([own], [], {}, f"{COMMIT}+dirty")["marks"].unique()
    assert "changes that no commit has" in mark
    write_csv(own, read_speed(own).assign(commit=None))
    assert set(table4([own], [], {}, COMMIT)["marks"]) == {"of an unknown commit"}


def test_two_references_of_one_name_with_the_same_rows_are_refused(sources):
    own, reference = sources
    with pytest.raises(UserError, match="'toy-h100' hold the same rows twice"):
        table4([own], [reference, reference], {}, COMMIT)


def test_published_rows_are_those_with_a_time():
    numbers = read_paper_numbers()
    found = {row["paper_id"] for row in published_rows(numbers.values())}
    assert found == {name for name, number in numbers.items() if number.ms_per_image}


def test_the_fastest_and_all_within_its_interval_are_bold():
    times, highs = [3.0, 1.0, 1.1, float("nan")], [3.1, 1.2, 1.3, float("nan")]
    rows = pd.DataFrame({"ms_per_image": times, "ms_per_image_high": highs})
    assert fastest(rows) == {1, 2}
    assert fastest(rows[3:]) == set()


def test_the_markdown_has_a_table_a_device_and_says_what_is_missing(sources):
    own, reference = sources
    text = in_markdown(table4([own], [reference], read_paper_numbers(), COMMIT))
    assert re.findall("^### .*", text, re.M) == [
        "### toy on cpu x (measured), ms an image and speed-up",
        "### toy on gpu y (toy-h100), ms an image and speed-up",
        "### Published, on other machines and networks",
    ]
    lines = text.splitlines()
    assert "| biflow | clean | 1 | – | – |" in lines
    assert "- missing: biflow, batch 1, 16, guidance 1: not guided" in lines
    assert any(re.fullmatch(r"\| biflow \| clean \| 0 \| \*\*.*\*\*, 10× \| .* \|", line) for line in lines)
    assert any("against itself: ratio 1 lies within 4 of 4 intervals" in line for line in lines)
    assert "- note: all that was measured: no energy: no driver" in lines
    assert "- of another commit, fedcba987654" in lines
    assert any(line.startswith("| biflow-biflow-b-2-learned-reverse-imagenet256 |") for line in lines)


def test_the_figure_has_a_line_a_sampler_and_leaves_gaps(protocol, tmp_path):
    figure = speedup_against_batch(speed_rows(protocol))
    plain, guided = figure.axes
    assert [len(axes.containers) for axes in (plain, guided)] == [4, 3]  # biflow cannot be guided
    style.save(figure, tmp_path / "x.png", tmp_path / "x.pdf")
    assert (tmp_path / "x.png").stat().st_size > 1000
    empty = speed_rows(protocol).assign(speedup=None)
    assert speedup_against_batch(empty).axes[0].containers == []
