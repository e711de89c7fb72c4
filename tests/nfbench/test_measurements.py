"""The measurement row: one format, read back as it was written."""

import math

import numpy as np
import pandas as pd
import pytest

from nfbench.errors import UserError
from nfbench.files import sha256_file
from nfbench.measurements import (
    COLUMNS,
    FLAGS,
    METRICS,
    NUMBERED,
    NUMBERS,
    TEXT,
    join_rows,
    metric,
    read_rows,
    row,
    write_frame,
    write_rows,
)

HEADER = ",".join(COLUMNS)
PROVENANCE = {"device": "a CPU", "precision": "fp32", "commit": "abc", "threads": 4}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "measure/quality/x/seed0.csv"
    rows = [
        row("fd", 1 / 3, sampler="x", seed=0, space="effnet", low=0.1 + 0.2, high=1e-17, n=5000),
        row("kid", None, sampler="x", seed=0, flag="rank_deficient"),
        row("ms_per_image", 2.0, sampler="x", batch_size=64, repetition=1, precision="bf16"),
    ]
    write_rows(path, rows, PROVENANCE)
    return path


def test_rows_come_back_with_all_digits_and_say_what_made_them(written):
    frame = read_rows(written)
    assert list(frame.columns) == list(COLUMNS) == [*frame.columns]
    first, second, third = (frame.iloc[i] for i in range(3))
    assert (first.value, first.low, first.high, first.n) == (1 / 3, 0.1 + 0.2, 1e-17, 5000)
    assert (first.seed, first.space, first.task, first.flag) == ("0", "effnet", "", "")
    assert (third.seed, third.batch_size, third.repetition) == ("", 64, 1)
    assert (first.device, first.commit) == ("a CPU", "abc")
    assert (first.precision, third.precision) == ("fp32", "bf16")  # a row's own word goes first
    assert math.isnan(second.value)
    assert math.isnan(first.batch_size)
    again = written.with_name("again.csv")
    write_frame(again, frame)
    pd.testing.assert_frame_equal(read_rows(again), frame)


def test_every_column_is_text_or_a_number():
    assert sorted([*TEXT, *NUMBERS]) == sorted(COLUMNS)
    assert all(COLUMNS.values())


def test_empty_files_and_no_files_have_the_same_types(tmp_path, written):
    write_rows(tmp_path / "none.csv", [])
    for frame in (read_rows([]), read_rows(tmp_path / "none.csv")):
        assert len(frame) == 0
        assert frame.dtypes.to_dict() == read_rows(written).dtypes.to_dict()
    assert len(read_rows([written, written])) == 6


@pytest.mark.parametrize(("value", "flag"), [(None, ""), (math.nan, ""), (math.nan, "non_finite")])
def test_what_was_not_measured_is_an_empty_cell_with_a_flag(value, flag):
    made = row("fd", value, flag=flag)
    assert (made["value"], made["flag"]) == (None, flag or "not_measured")
    assert isinstance(row("fd", np.float32(0.5))["value"], float)
    assert row("fd", 0.0).get("flag", "") == ""


def test_columns_flags_and_metrics_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no such columns \['sede'\]"):
        row("fd", 1.0, sede=0)
    with pytest.raises(ValueError, match="flag 'bussy'"):
        row("fd", 1.0, flag="bussy")
    for flag in FLAGS:
        assert row("fd", 1.0, flag=flag)["flag"] == flag
    with pytest.raises(UserError, match="no metric 'precison'; did you mean 'precision'?"):
        write_rows(tmp_path / "x.csv", [row("fd", 1.0), row("precison", 1.0)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prefix", NUMBERED)
def test_metrics_of_a_block_or_state_are_described_by_what_they_are_one_of(prefix):
    described = metric(f"{prefix}0")
    assert described is metric(f"{prefix}12")
    assert described in METRICS.values()
    for suffix in ("", "x", "0_"):
        if prefix + suffix not in METRICS:
            with pytest.raises(UserError, match="There is no metric"):
                metric(prefix + suffix)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_described_and_may_be_a_difference_or_a_ratio(name):
    described = metric(name)
    assert described.description
    assert metric(f"{name}_difference") is metric(f"{name}_ratio") is described


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing; run snakemake"),
        ("sampler,fid\nx,1\n", "holds no measurement rows of this version"),
        ("", "cannot be read"),
        (f"{HEADER}\n,,,,fd,,,much{',' * (len(COLUMNS) - 8)}\n", "a number that is none"),
    ],
)
def test_missing_foreign_and_corrupt_files_are_told(tmp_path, content, words):
    path = tmp_path / "x.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=words):
        read_rows(path)


def test_joined_rows_name_their_files_and_hashes(tmp_path, written):
    joined = join_rows([written], tmp_path)
    assert set(joined["source"]) == {"measure/quality/x/seed0.csv"}
    assert set(joined["sha256"]) == {sha256_file(written)}
    assert set(join_rows([written], tmp_path / "elsewhere")["source"]) == {written.as_posix()}
