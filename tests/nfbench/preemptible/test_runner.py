"""Calls: they stop in time and on SIGTERM, everything that they started with them, and pack what there is."""

import dataclasses
import json
import os
import signal
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from nfbench.errors import UserError
from nfbench.preemptible import runner
from nfbench.preemptible.__main__ import main
from nfbench.preemptible.processes import Group
from nfbench.preemptible.runner import FAILED, FINISHED, TERMINATED, UNFINISHED, Call, command, run

TINY = runner.ROOT / "config/tiny.yaml"
# Stands in for Snakemake and a training: a shell that dies at once, and a child that saves before it ends.
CHILD = """
import signal, sys, time
from pathlib import Path

def save(*_):
    time.sleep(0.5)
    Path("results/tiny/forward").mkdir(parents=True, exist_ok=True)
    Path("results/tiny/forward/seed0.resume.pt").write_text("state")
    sys.exit(143)

signal.signal(signal.SIGTERM, save)
Path("results/ready").touch()
time.sleep(60)
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Call(TINY, tmp_path, minutes=10, pack=tmp_path / "pack", targets=("all",), reserve=4)


@pytest.fixture
def pretend(monkeypatch):
    """Return a function that puts a Python program in Snakemake's place."""

    def put(program, shell=False):
        made = [sys.executable, "-c", textwrap.dedent(program)]
        if shell:
            made = ["sh", "-c", '"$@" & wait', "sh", *made]
        monkeypatch.setattr(runner, "command", lambda call, stage: made)

    return put


def packed(call):
    return json.loads((call.pack / "manifest.json").read_text())


def test_a_call_that_makes_everything_says_so_and_packs_it(call, pretend):
    pretend("""
        from pathlib import Path
        Path("results/tiny").mkdir(parents=True)
        Path("results/table1.csv").write_text("1")
    """)
    lines = []
    assert run(call, lines.append) == FINISHED
    assert packed(call)["finished"]
    assert list(packed(call)["files"]) == ["results/table1.csv"]
    assert lines[-2:] == ["finished", f"packed 1 files, 0.0 MiB, into {call.pack}"]


def test_at_the_end_of_the_time_a_training_saves_though_the_shell_above_it_is_gone(call, pretend):
    pretend(CHILD, shell=True)
    started, lines = time.monotonic(), []
    assert run(dataclasses.replace(call, minutes=0.1), lines.append) == UNFINISHED
    assert time.monotonic() - started < 6
    assert list(packed(call)["files"]) == ["results/tiny/forward/seed0.resume.pt"]
    assert not packed(call)["finished"]
    assert "the time is up at: all; call again to go on" in lines


def test_sigterm_stops_a_call_which_still_packs(call, pretend):
    pretend(CHILD, shell=True)

    def terminate():
        while not (call.folder / "results/ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate).start()
    assert run(call, lambda line: None) == TERMINATED
    assert list(packed(call)["files"]) == ["results/tiny/forward/seed0.resume.pt"]


def test_a_stage_that_fails_ends_no_other(call, pretend):
    pretend("import sys; open('results/calls', 'a').write('x'); sys.exit(1)")
    lines = []
    assert run(dataclasses.replace(call, targets=("one", "two")), lines.append) == FAILED
    assert (call.folder / "results/calls").read_text() == "xx"
    assert "failed: one, two" in lines


def test_what_one_call_packs_the_next_unpacks_elsewhere(call, pretend, tmp_path):
    test_a_call_that_makes_everything_says_so_and_packs_it(call, pretend)
    pretend("")
    there, lines = tmp_path / "there", []
    run(dataclasses.replace(call, folder=there, pack=None, unpack=call.pack), lines.append)
    assert (there / "results/table1.csv").read_text() == "1"
    assert lines[0] == f"unpacked 1 files from {call.pack}"


def test_children_that_do_not_end_are_ended_by_force(tmp_path):
    deaf = "import signal, sys, time; signal.signal(15, 1); open(sys.argv[1], 'w'); time.sleep(60)"
    group = Group([sys.executable, "-c", deaf, str(tmp_path / "deaf")])
    assert group.wait(until=(tmp_path / "deaf").exists) is None
    assert not group.end(patience=0.5)


def test_two_calls_in_one_folder_are_refused(call, pretend):
    pretend("")
    with runner._alone(call.folder), pytest.raises(UserError, match="another call works in"):
        run(call, lambda line: None)


def test_a_call_without_time_is_refused(call, capsys):
    with pytest.raises(UserError, match="are no more than the 4 seconds kept for stopping"):
        run(dataclasses.replace(call, minutes=0.05))
    assert main([str(TINY)]) == FAILED
    assert capsys.readouterr().err == "error: give the time that there is, e.g. --minutes 10.\n"


def test_snakemake_is_told_to_go_by_ages_and_to_leave_no_lock(call):
    (stage,) = runner.stages({}, call.targets)
    words = command(call, stage)
    assert words[1:4] == ["-m", "snakemake", "all"]
    assert {"--nolock", "--rerun-incomplete", "--keep-going"} <= set(words)
    assert words[words.index("--rerun-triggers") + 1] == "mtime"
    assert words[words.index("--configfile") + 1 :][:2] == [str(TINY), "--cores"]


def test_a_part_of_the_seeds_is_asked_for_by_a_file_laid_over_the_experiment_s(call):
    words = command(call, dataclasses.replace(runner.stages({}, ["all"])[0], seeds=(3, 5)))
    base, overlay = words[words.index("--configfile") + 1 :][:2]
    assert base == str(TINY)
    assert Path(overlay).read_text() == "seeds: [3, 5]\n"
