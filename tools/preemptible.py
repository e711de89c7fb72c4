#!/usr/bin/env python
"""Run an experiment for limited times on machines that may be taken away, going on each time.

    python tools/preemptible.py config/fashion.yaml --minutes 9 --pack out
    python tools/preemptible.py config/fashion.yaml --minutes 9 --unpack out --pack out
    python tools/preemptible.py config/tiny.yaml --rehearse 5 --directory EMPTY

Seed by seed, so that one seed's whole table comes first. At the end of the time, or at SIGTERM, trainings
save their state, and the results are packed into at most 5 files of at most 15 MiB. Snakemake goes on from
what is there: times of files mean nothing to it. Exit status: 0 all is made, 75 call again, 143 the same
after SIGTERM, 1 something failed.
"""

import argparse
import fcntl
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout runs without being installed

from nfbench.errors import UserError
from nfbench.experiment import load_experiment
from nfbench.files import sha256_file, write_json
from nfbench.provenance import commit
from nfbench.script import Notice, sigterm_noticed

RESUME = ".resume.pt"  # the state of a training that has not ended
FINISHED, FAILED, UNFINISHED, TERMINATED = 0, 1, 75, 143
MOST_FILES, MOST_BYTES, HEADER = 5, 15 * 2**20, 4096  # the manifest and 60 MiB: fits where 64 come back
# What comes back first where not all fits: numbers are small and everything else was made for them; a
# training is lost with its state; sample sets are drawn again in minutes.
WORTH = ((".csv", ".json", ".yaml", ".md", ".html"), (RESUME,), (".safetensors",), (".png", ".pdf"))
# Columns that may differ between two runs of the same commit: times, and what is said of them.
TIMED = ("train_seconds", "ms_per_image", "images_per_second", "speedup", "notes")


def say(line: str) -> None:
    """Print a line of progress."""
    print(f"preemptible: {line}", file=sys.stderr, flush=True)


def worth(path: Path) -> int:
    """Return the place of a file's kind in WORTH, the least for any other."""
    return next((i for i, ends in enumerate(WORTH) if path.name.endswith(ends)), len(WORTH))


def made(folder: Path) -> list[Path]:
    """Return the files that runs have made in a folder; kept runs, which git has, are none of them."""
    files = [path for path in (folder / "results").rglob("*") if path.is_file()]
    kept = folder / "results/reference"
    return [path for path in files if not path.name.startswith(".") and kept not in path.parents]


def pack(folder: Path, pack_folder: Path, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> None:
    """Pack the results into parts of one tar archive; the manifest comes last, so no pack is half of one."""
    files = [path for path in made(folder) if "logs" not in path.parts]
    files.sort(key=lambda path: (worth(path), -path.stat().st_mtime))
    room, taken = (most_files - 1) * most_bytes - 2 * tarfile.RECORDSIZE, []
    for path in files:
        size = path.stat().st_size + HEADER
        if size <= room:
            room -= size
            taken.append(path)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in taken:
            tar.add(path, arcname=path.relative_to(folder).as_posix())
    pack_folder.mkdir(parents=True, exist_ok=True)
    for old in (pack_folder / "manifest.json", *pack_folder.glob("results.tar.*")):
        old.unlink(missing_ok=True)
    data, parts = archive.getvalue(), {}
    for i in range(0, len(data), most_bytes):
        name = f"results.tar.{i // most_bytes}"
        (pack_folder / name).write_bytes(data[i : i + most_bytes])
        parts[name] = sha256_file(pack_folder / name)
    left_out = [path.relative_to(folder).as_posix() for path in files if path not in taken]
    write_json(pack_folder / "manifest.json", {"commit": commit(), "parts": parts, "left_out": left_out})
    say(f"packed {len(taken)} files, {len(data) / 2**20:.1f} MiB, into {pack_folder}, {len(left_out)} not")


def unpack(pack_folder: Path, folder: Path) -> None:
    """Put a pack's files where the workflow looks for them.

    Raises:
        UserError: the folder is no whole pack, or there are results already.
    """
    manifest = pack_folder / "manifest.json"
    if not manifest.is_file():
        raise UserError(f"{pack_folder} has no manifest.json, so it is no pack; leave --unpack out at first.")
    if made(folder):
        raise UserError(f"{folder / 'results'} holds results already; leave --unpack out, or move them away.")
    content, data = json.loads(manifest.read_text()), b""
    for name, digest in content["parts"].items():
        path = pack_folder / name
        part = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(part).hexdigest() != digest:
            raise UserError(f"{path} is missing or corrupt; copy the pack again, all of its files.")
        data += part
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # new in Python 3.11.4
        tar.extractall(folder)
    if content["commit"] != commit():
        say(f"unpacked results of commit {content['commit']}, and this is {commit()}: what is made stays")


def end(process: subprocess.Popen, patience: float) -> None:
    """Terminate a command and all that it started; kill what has not ended after some seconds."""
    deadline, number = time.monotonic() + patience, signal.SIGTERM
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)  # raises once all are gone
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def stages(config: Path, targets: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield what to make, most valuable first, and the arguments of Snakemake for it."""
    seeds = load_experiment(config).seeds
    for n in range(1, len(seeds) + 1):
        part = ",".join(map(str, seeds[:n]))
        yield f"{n} of {len(seeds)} seeds", ["--config", f"seeds=[{part}]", "--", *targets]


def run(options: argparse.Namespace) -> int:
    """Work for the time that there is, then pack; return the exit status."""
    if options.minutes is None or 60 * options.minutes <= options.reserve:
        raise UserError(f"give more time than the {options.reserve:g} s for stopping, e.g. --minutes 10.")
    deadline = time.monotonic() + 60 * options.minutes - options.reserve
    folder = options.directory.resolve()
    with sigterm_noticed() as notice, alone(folder):
        if options.unpack:
            unpack(options.unpack, folder)
        status = work(options, folder, deadline, notice)
        if options.pack:
            pack(folder, options.pack)
    return status


def work(options: argparse.Namespace, folder: Path, deadline: float, notice: Notice) -> int:
    """Call Snakemake stage by stage while there is time."""
    status = FINISHED
    for title, arguments in stages(options.config, options.targets):
        say(f"{title}; {(deadline - time.monotonic()) / 60:.1f} minutes left")
        command = [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--nolock"),
            *("--directory", str(folder), "--configfile", str(options.config.resolve())),
            *("--cores", options.cores, "--resources", f"gpu={options.gpu_jobs}", "--keep-going"),
            *arguments,
        ]
        process = subprocess.Popen(command, start_new_session=True)
        while process.poll() is None and time.monotonic() < deadline and not notice.given:
            time.sleep(0.2)
        if process.poll() is None:
            end(process, options.reserve / 2)
            say(f"{'SIGTERM' if notice.given else 'the time is up'} at {title}; call again to go on")
            return TERMINATED if notice.given else UNFINISHED
        status = FAILED if process.returncode else status
    return status


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which dies with the process.

    Raises:
        UserError: another call holds it.
    """
    path = folder / "results/.preemptible.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another call works in {folder}; wait, or name another --directory.") from None
        yield


def rehearse(options: argparse.Namespace) -> int:
    """Run in one go, and again cut off at random moments with only the packs kept; compare the tables."""
    if any(options.directory.glob("*")):
        raise UserError(f"{options.directory} is not empty; name an empty --directory for the rehearsal.")
    this = [sys.executable, __file__, str(options.config), "--minutes", "600", "--cores", options.cores]
    started, moments, unpacked = time.monotonic(), random.Random(0), []
    subprocess.run([*this, "--directory", str(options.directory / "whole")], check=True)
    seconds = time.monotonic() - started
    for cut in range(1, options.rehearse + 1):
        here, packed = (str(options.directory / f"{name}{cut}") for name in ("cut", "pack"))
        process = subprocess.Popen([*this, "--directory", here, *unpacked, "--pack", packed])
        moment = moments.uniform(0.2, 1) * seconds / (options.rehearse + 1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        process.terminate()
        say(f"cut {cut} after {moment:.0f} s: status {process.wait()}")
        unpacked = ["--unpack", packed]
    subprocess.run([*this, "--directory", str(options.directory / "last"), *unpacked], check=True)
    found = list(differing(*(options.directory / name / "results/table1.csv" for name in ("whole", "last"))))
    say("; ".join(found) or f"after {options.rehearse} cuts the tables are the same")
    return FAILED if found else FINISHED


def differing(one: Path, other: Path) -> Iterator[str]:
    """Yield the cells in which two tables differ, columns of time apart."""
    tables = [pd.read_csv(path, dtype=str).set_index("sampler").fillna("") for path in (one, other)]
    first, second = (table.loc[:, ~table.columns.str.startswith(TIMED)].stack() for table in tables)
    for cell in first.index.union(second.index):
        values = first.get(cell), second.get(cell)
        if values[0] != values[1]:
            yield f"{', '.join(cell)}: {values[0]} against {values[1]}"


def main() -> int:
    """Read the command line and run it; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="the experiment file")
    parser.add_argument("--minutes", type=float, help="until the command has returned")
    parser.add_argument("--pack", type=Path, help="folder for what must come back")
    parser.add_argument("--unpack", type=Path, help="a pack to go on from")
    parser.add_argument("--directory", type=Path, default=Path(), help="where it runs (default: here)")
    parser.add_argument("--targets", nargs="+", default=[], help="what to make (default: everything)")
    parser.add_argument("--cores", default="all", help="as Snakemake takes it (default: all)")
    parser.add_argument("--gpu-jobs", type=int, default=4, help="jobs that may share the GPU (default: 4)")
    parser.add_argument("--reserve", type=float, default=30.0, help="seconds kept for stopping (default: 30)")
    parser.add_argument("--rehearse", type=int, metavar="CUTS", help="compare a cut run with a whole one")
    options = parser.parse_args()
    try:
        return rehearse(options) if options.rehearse is not None else run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
