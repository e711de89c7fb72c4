"""The tool for machines that may be taken away: packs, stopping in time, the order of work."""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nfbench.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("preemptible", ROOT / "tools/preemptible.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

FILES = {
    "results/tiny/measure/speed.csv": 2000,
    "results/tiny/flows/flow/seed0.resume.pt": 3000,
    "results/tiny/flows/flow/seed1.safetensors": 4000,
    "results/tiny/samples/biflow/seed0.npz": 5000,
}


@pytest.fixture
def folder(tmp_path):
    for i, (name, size) in enumerate(FILES.items()):
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([i]) * size)
    return tmp_path / "work"


def test_kept_runs_are_neither_packed_nor_in_the_way(folder, tmp_path):
    kept = folder / "results/reference/index.txt"
    kept.parent.mkdir()
    kept.write_text("fashion14-cpu")
    tool.pack(folder, tmp_path / "pack")
    again = tmp_path / "again/results/reference/index.txt"
    again.parent.mkdir(parents=True)
    again.write_text("mine")
    tool.unpack(tmp_path / "pack", tmp_path / "again")
    assert again.read_text() == "mine"
    assert (tmp_path / "again/results/tiny/measure/speed.csv").is_file()


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_pack_brings_everything_back_from_small_files(folder, tmp_path):
    tool.pack(folder, tmp_path / "pack", most_files=20, most_bytes=7000)
    parts = list((tmp_path / "pack").glob("results.tar.*"))
    assert len(parts) > 2
    assert all(part.stat().st_size <= 7000 for part in parts)
    tool.unpack(tmp_path / "pack", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_what_is_worth_most_comes_first_where_not_all_fits(folder, tmp_path):
    tool.pack(folder, tmp_path / "pack", most_files=2, most_bytes=36_000)
    left_out = json.loads((tmp_path / "pack/manifest.json").read_text())["left_out"]
    assert left_out == ["results/tiny/flows/flow/seed1.safetensors", "results/tiny/samples/biflow/seed0.npz"]


@pytest.mark.parametrize("fault", ["no manifest", "corrupt", "missing", "results there"])
def test_what_is_no_whole_pack_is_refused_and_nothing_is_written(folder, tmp_path, fault):
    pack, target = tmp_path / "pack", tmp_path / "again"
    tool.pack(folder, pack)
    if fault == "no manifest":
        (pack / "manifest.json").unlink()
    elif fault == "corrupt":
        (pack / "results.tar.0").write_bytes(b"x")
    elif fault == "missing":
        (pack / "results.tar.0").unlink()
    else:
        (target / "results").mkdir(parents=True)
        (target / "results/table1.csv").write_text("mine")
    before = contents(target)
    with pytest.raises(UserError, match=r"no pack|corrupt|results already"):
        tool.unpack(pack, target)
    assert contents(target) == before


def test_seeds_are_added_one_by_one():
    found = list(tool.stages(ROOT / "config/fashion14-ablations.yaml", ["results/table2.csv"]))
    assert [arguments[1] for _, arguments in found] == ["seeds=[0]", "seeds=[0,1]", "seeds=[0,1,2]"]
    assert all(arguments[-1] == "results/table2.csv" for _, arguments in found)


def test_a_command_and_its_children_are_ended(tmp_path):
    sign = tmp_path / "child"
    child = f"import time, pathlib; pathlib.Path({str(sign)!r}).touch(); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True)
    while not sign.exists():
        time.sleep(0.05)
    tool.end(process, patience=20)
    assert process.returncode != 0


def test_only_one_call_works_in_a_folder(tmp_path):
    with tool.alone(tmp_path), pytest.raises(UserError, match="another call works"), tool.alone(tmp_path):
        pass


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["config/none.yaml", "--minutes", "5"], "There is no file"), (["config/tiny.yaml"], "give more time")],
)
def test_a_bad_call_is_refused_in_a_sentence(tmp_path, arguments, sentence):
    command = [sys.executable, str(ROOT / "tools/preemptible.py"), *arguments, "--directory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
