#!/usr/bin/env python
"""Gather in .gpu/ what a GPU machine without a network lacks, to travel there with the checkout.

    python tools/gpu/prepare.py [--python 3.12] [--no-data] [--limit MIB]

Wheels of the packages in wheels.txt, Fashion-MNIST's files, and the commit that results are to name. Call it
after the last commit; a second call fetches only what is missing. Exit status 1, with a sentence, where
changes are not committed, something cannot be fetched, or all of it is larger than the limit.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from nfbench.data.idx import find_fashion
from nfbench.errors import UserError
from nfbench.files import sha256_file
from nfbench.provenance import commit

WHEELS = Path(__file__).with_name("wheels.txt")
GLIBC = (5, 12, 17, 24, 27, 28, 31, 34)  # minor versions of manylinux_2_N, which pip takes literally


def pinned(names: list[str], lock: str) -> dict[str, str]:
    """Return {name: version} as locked.

    Raises:
        UserError: a name is not in the lock.
    """
    versions = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\\n]+)", lock, re.MULTILINE))
    if missing := [name for name in names if name not in versions]:
        raise UserError(f"requirements.lock has no {', '.join(missing)}; take it out of {WHEELS}.")
    return {name: versions[name] for name in names}


def wheel_in(folder: Path, name: str, version: str) -> Path | None:
    """Return the wheel of a package and version in a folder."""
    stem = f"{name.replace('-', '_')}-{version}-".lower()
    return next((path for path in folder.glob("*.whl") if path.name.lower().startswith(stem)), None)


def fetch(folder: Path, wanted: dict[str, str], python: str) -> None:
    """Download wheels for x86-64 Linux; build those of packages that have none. Others are removed.

    Raises:
        UserError: one can neither be downloaded nor built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    platforms = [f"--platform=manylinux_2_{n}_x86_64" for n in GLIBC]
    platforms += [f"--platform=manylinux{n}_x86_64" for n in (1, 2010, 2014)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    foreign = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp", *platforms]
    for name, version in wanted.items():
        if wheel_in(folder, name, version):
            continue
        for command in (["download", *foreign, "-d"], ["wheel", "-w"]):
            asked = [*pip, *command, str(folder), "-q", "--no-deps", f"{name}=={version}"]
            done = subprocess.run(asked, capture_output=True, text=True)
            if done.returncode == 0:
                break
        wheel = wheel_in(folder, name, version)
        if wheel is None or not wheel.name.endswith(("-any.whl", "x86_64.whl")):
            raise UserError(f"no wheel of {name} {version} can be had: {done.stderr.strip()[-300:]}")
    kept = {wheel_in(folder, name, version) for name, version in wanted.items()}
    for path in set(folder.glob("*.whl")) - kept:
        path.unlink()  # two versions of one package stop the whole installation


def size_mib(paths: list[Path]) -> float:
    """Return the size of files."""
    return sum(path.stat().st_size for path in paths if path.is_file()) / 2**20


def main() -> int:
    """Gather everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default="3.12", help="version of Python there (default: 3.12)")
    parser.add_argument("--no-data", action="store_true", help="leave Fashion-MNIST's 30 MiB out")
    parser.add_argument("--limit", type=float, default=64, help="MiB that may travel (default: 64)")
    parser.add_argument("--folder", type=Path, default=ROOT / ".gpu", help="default: .gpu in the checkout")
    options = parser.parse_args()
    folder, names = options.folder, WHEELS.read_text().split("\n")
    try:
        if commit() is None or commit().endswith("+dirty"):
            raise UserError("commit all changes first: what the GPU measures names the commit it is of.")
        wanted = pinned(
            [n for n in names if n and not n.startswith("#")], (ROOT / "requirements.lock").read_text()
        )
        fetch(folder / "wheels", wanted, options.python)
        data = folder / "cache/nfbench/fashion-mnist"
        data.mkdir(parents=True, exist_ok=True)
        for path in () if options.no_data else find_fashion().values():
            shutil.copy(path, data)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout
        files = [name for name in listed.split("\0") if name]
        code = {name: sha256_file(ROOT / name) for name in files if not name.startswith("results/")}
        (folder / "commit.json").write_text(json.dumps({"commit": commit(), "files": code}))
        tree, carried = size_mib([ROOT / name for name in files]), size_mib(list(folder.rglob("*")))
        print(f"{len(wanted)} wheels, commit {commit()}; checkout {tree:.1f} MiB, {folder} {carried:.1f} MiB")
        if tree + carried > options.limit:
            raise UserError(f"{tree + carried:.1f} MiB is over {options.limit:g}; use --no-data, or --limit.")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
