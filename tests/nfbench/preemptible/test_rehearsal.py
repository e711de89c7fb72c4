"""The rehearsal, which takes minutes, and what it compares."""

import os
from pathlib import Path

import pytest

from nfbench.errors import UserError
from nfbench.preemptible.plan import ROOT
from nfbench.preemptible.rehearsal import differing, rehearse

TINY = ROOT / "config/tiny.yaml"


def test_cut_off_five_times_the_tiny_experiment_ends_with_the_same_tables(tmp_path):
    if "BIFLOW_BENCH_REHEARSAL" not in os.environ:
        pytest.skip("takes ten minutes; set BIFLOW_BENCH_REHEARSAL to run it")
    assert rehearse(TINY, tmp_path, cuts=5)


def test_a_rehearsal_needs_an_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match="is not empty; name an empty --directory"):
        rehearse(TINY, tmp_path, cuts=1)


def test_tables_are_the_same_where_only_times_differ(tmp_path):
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("sampler,fd_effnet,ms_per_image_batch1\nbiflow,1.5,3\n")
    other.write_text("sampler,fd_effnet,ms_per_image_batch1\nbiflow,1.5,4\n")
    assert differing(one, other) == []
    other.write_text("sampler,fd_effnet,ms_per_image_batch1\nbiflow,1.6,3\n")
    assert differing(one, other) == ["one.csv, row 1, fd_effnet: 1.5 against 1.6"]
    other.write_text("sampler,fd_effnet,ms_per_image_batch1\n")
    assert differing(one, other) == ["one.csv: 1 rows against 0"]
    with pytest.raises(UserError, match=r"two\.csv is missing"):
        differing(one, Path(tmp_path / "two.csv"))
