"""Packs: small files, whole or told, the most valuable first, and as good as made where they are unpacked."""

import json
import os
import time
from pathlib import Path

import pytest

from nfbench.errors import UserError
from nfbench.preemptible.packing import check_destination, pack, unpack
from nfbench.preemptible.worth import KINDS, choose, items, kind, sentence

ABOUT = {"experiment": "toy", "commit": None}
# In the order of their ages, oldest first; sizes in bytes.
FILES = {
    "results/toy/forward/seed0.csv": 100,
    "results/toy/forward/seed0.safetensors": 3000,
    "results/toy/sample/biflow/seed0.npz": 2000,
    "results/toy/measure/quality/biflow/seed0.json": 50,
    "results/toy/reverse/biflow/seed0.safetensors": 3000,
    "results/toy/reverse/biflow/seed1.resume.pt": 9000,
    "results/figures/toy/samples.png": 700,
    "results/reference/toy-cpu/manifest.json": 20,
    "results/table1.csv": 40,
}
NOT_PACKED = [
    "results/other/forward/seed0.csv",
    "results/toy/forward/.seed1-x7d.csv",  # half written
    "results/toy/forward/seed0.resume.pt",  # of a training that has ended
]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with results a day old, a second apart."""
    folder = tmp_path / "made"
    for place, (name, size) in enumerate({**FILES, **dict.fromkeys(NOT_PACKED, 10)}.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        age = time.time_ns() - 86_400 * 10**9 + place * 10**9
        os.utime(path, ns=(age, age))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_unpacked_is_what_was_made_in_the_old_order_and_younger_than_the_code(folder, tmp_path):
    pack(folder, tmp_path / "pack", ["toy"], ABOUT)
    code = tmp_path / "code.py"
    code.write_text("")
    time.sleep(0.05)
    there = tmp_path / "there"
    unpack(tmp_path / "pack", there, ["toy"])
    assert contents(there) == {name: (folder / name).read_bytes() for name in FILES}
    ages = [(there / name).stat().st_mtime_ns for name in FILES]
    assert ages == sorted(ages)
    assert len(set(ages)) == len(ages)
    assert code.stat().st_mtime_ns < ages[0] <= ages[-1] <= time.time_ns()


def test_files_of_one_age_stay_of_one_age(folder, tmp_path):
    names = list(FILES)[:2]
    os.utime(folder / names[1], ns=(0, (folder / names[0]).stat().st_mtime_ns))
    pack(folder, tmp_path / "pack", ["toy"], ABOUT)
    unpack(tmp_path / "pack", tmp_path, ["toy"])
    assert len({(tmp_path / name).stat().st_mtime_ns for name in names}) == 1


@pytest.mark.parametrize("most_bytes", [8192, 20_000, 2**20])
def test_no_part_is_larger_and_there_are_no_more_of_them_than_allowed(folder, tmp_path, most_bytes):
    limits = {"most_files": 8, "most_bytes": most_bytes}
    pack(folder, tmp_path / "pack", ["toy"], ABOUT, **limits)
    made = list((tmp_path / "pack").iterdir())
    assert len(made) <= 8
    assert all(path.stat().st_size <= most_bytes for path in made)
    manifest = unpack(tmp_path / "pack", tmp_path / "there", ["toy"])
    assert contents(tmp_path / "there").keys() == manifest["files"].keys()
    assert {*manifest["files"], *manifest["left_out"]} == set(FILES)


def test_what_does_not_fit_is_left_out_least_valuable_first_and_told(folder):
    found = items(folder, ["toy"])
    taken, left_out = choose(found, room=sum(item.size for item in found) - 1)
    assert {kind(item.path) for item in left_out} == {"sample sets"}
    assert sentence(left_out).startswith("left out for want of room: sample sets (1 files, 0.0 MiB);")
    assert sentence([]) == ""
    ranks = [KINDS.index(kind(item.path)) for item in taken]
    assert ranks == sorted(ranks)
    weights = [str(item.path) for item in taken if kind(item.path) == "weights"]
    assert weights == [
        "results/toy/reverse/biflow/seed0.safetensors",
        "results/toy/forward/seed0.safetensors",
    ]
    # The state does not fit, and room for smaller things is used all the same.
    taken, left_out = choose(found, room=8000)
    assert {kind(item.path) for item in left_out} >= {"resume states"}
    assert {kind(item.path) for item in taken} == {"measured", "weights", "figures"}


def test_a_new_pack_replaces_the_old_one_and_nothing_else(folder, tmp_path):
    destination = tmp_path / "pack"
    pack(folder, destination, ["toy"], ABOUT, most_bytes=8192)
    check_destination(destination)
    pack(folder, destination, ["toy"], ABOUT)
    assert sorted(path.name for path in destination.iterdir()) == ["manifest.json", "results.tar.0"]
    (destination / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"holds thesis\.tex, which no pack does"):
        check_destination(destination)


def test_a_first_pack_without_results_can_be_unpacked(tmp_path):
    pack(tmp_path / "nothing", tmp_path / "pack", ["toy"], ABOUT)
    assert unpack(tmp_path / "pack", tmp_path / "there", ["toy"])["files"] == {}


def test_packs_that_are_not_whole_or_of_another_experiment_are_refused(folder, tmp_path):
    source = tmp_path / "pack"
    with pytest.raises(UserError, match="is no pack"):
        unpack(source, tmp_path, ["toy"])
    pack(folder, source, ["toy"], ABOUT)
    with pytest.raises(UserError, match="is a pack of 'toy', not of 'digits'"):
        unpack(source, tmp_path, ["digits"])
    with pytest.raises(UserError, match="holds results already"):
        unpack(source, folder, ["toy"])
    part = source / "results.tar.0"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"results\.tar\.0 is corrupt"):
        unpack(source, tmp_path / "there", ["toy"])
    part.unlink()
    with pytest.raises(UserError, match=r"results\.tar\.0 is missing"):
        unpack(source, tmp_path / "there", ["toy"])
    assert not (tmp_path / "there").exists()


def test_an_archive_with_more_than_its_manifest_says_is_refused(folder, tmp_path):
    source = tmp_path / "pack"
    pack(folder, source, ["toy"], ABOUT)
    path = source / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["results/table1.csv"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"holds results/table1\.csv, which its manifest\.json does not know"):
        unpack(source, tmp_path / "there", ["toy"])
