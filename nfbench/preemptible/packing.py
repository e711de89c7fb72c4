"""Packing results into a few small files, and unpacking them elsewhere as if they had been made there.

A pack is a folder: `manifest.json`, and one tar archive cut into `results.tar.0`, `results.tar.1`, ... of
equal size. It holds no metadata of Snakemake's: the ages of files, in their order, are enough with
`--rerun-triggers mtime`.
"""

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nfbench.errors import UserError
from nfbench.files import atomic_path, read_json, sha256_file, write_json
from nfbench.preemptible.worth import Item, choose, items, sentence

MANIFEST = "manifest.json"
PART = "results.tar."
MOST_FILES = 8  # of a pack, the manifest among them
MOST_BYTES = 15 * 2**20  # of each
HEADERS = 4096  # most bytes of a tar archive that a file takes beside its own, padding included
STEP = 1_000_000  # nanoseconds between the ages of two unpacked files


def check_destination(pack: Path) -> None:
    """Refuse to pack into a folder that holds anything but an earlier pack.

    Raises:
        UserError: it does.
    """
    foreign = [path.name for path in pack.glob("*") if not _belongs(path)] if pack.exists() else []
    if foreign or (pack.exists() and not pack.is_dir()):
        held = f"holds {sorted(foreign)[0]}, which no pack does" if foreign else "is no folder"
        raise UserError(f"{pack} {held}; name an empty folder, or one to be made.")


def _belongs(path: Path) -> bool:
    return path.name == MANIFEST or path.name.startswith(PART)


class _Parts(io.RawIOBase):
    """A file to write that is cut into parts of at most `most_bytes` each."""

    def __init__(self, folder: Path, most_bytes: int):
        self.folder, self.most_bytes = folder, most_bytes
        self.names: list[str] = []
        self._file: Any = None
        self._left = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view):
            if not self._left:
                self._next()
            piece = view[written : written + self._left]
            self._file.write(piece)
            written += len(piece)
            self._left -= len(piece)
        return written

    def _next(self) -> None:
        if self._file:
            self._file.close()
        self.names.append(f"{PART}{len(self.names)}")
        self._file = (self.folder / self.names[-1]).open("wb")
        self._left = self.most_bytes

    def close(self) -> None:
        if self._file:
            self._file.close()
        super().close()


def pack(
    folder: Path,
    destination: Path,
    experiments: Iterable[str],
    about: dict[str, Any],
    *,
    most_files: int = MOST_FILES,
    most_bytes: int = MOST_BYTES,
) -> str:
    """Pack what the workflow has made; return a line on it. What does not fit is left out, least worth first.

    Without a manifest a folder is no pack: it goes first and comes last, so that none is half of one.

    Args:
        folder: the folder that the workflow runs in.
        destination: the pack's folder; an earlier pack there is replaced.
        experiments: whose files are packed; see `nfbench.preemptible.worth.items`.
        about: JSON-able facts for the manifest; `experiment` among them.
    """
    room = (most_files - 1) * most_bytes - 2 * tarfile.RECORDSIZE  # which the archive ends with at most
    taken, left_out = choose(items(folder, experiments), room, HEADERS)
    destination.mkdir(parents=True, exist_ok=True)
    for old in (destination / MANIFEST, *destination.glob(f"{PART}*")):
        old.unlink(missing_ok=True)
    parts = _Parts(destination, most_bytes)
    with parts, tarfile.open(fileobj=parts, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        hashes = {str(item.path): _add(archive, folder, item) for item in taken}
    words = sentence(left_out)
    write_json(
        destination / MANIFEST,
        about
        | {
            "parts": {name: sha256_file(destination / name) for name in parts.names},
            "files": hashes,
            "left_out": [str(item.path) for item in left_out],
        },
    )
    size = sum(item.size for item in taken) / 2**20
    return f"packed {len(taken)} files, {size:.1f} MiB, into {destination}" + (f"; {words}" if words else "")


def _add(archive: tarfile.TarFile, folder: Path, item: Item) -> dict[str, Any]:
    """Add a file as it is now; return its hash and age, which are kept in the manifest."""
    data = (folder / item.path).read_bytes()
    info = tarfile.TarInfo(item.path.as_posix())
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
    return {"sha256": hashlib.sha256(data).hexdigest(), "modified": item.modified}


def read_manifest(source: Path) -> dict[str, Any]:
    """Read a pack's manifest and check its parts.

    Raises:
        UserError: the folder is no pack, or a part of it is missing or corrupt.
    """
    if not (source / MANIFEST).is_file():
        raise UserError(f"{source} is no pack: it has no {MANIFEST}; leave --unpack out on a first run.")
    manifest = read_json(source / MANIFEST)
    for name, expected in manifest["parts"].items():
        path = source / name
        if not path.is_file() or sha256_file(path) != expected:
            wrong = "corrupt" if path.is_file() else "missing"
            raise UserError(f"{path} is {wrong}; copy the pack again, all of its files.")
    return manifest


def unpack(source: Path, folder: Path, experiments: Iterable[str]) -> dict[str, Any]:
    """Put a pack's files where the workflow will look for them; return the manifest.

    They are given new ages in the old order, all younger than the source code beside them, which may just
    have been checked out: what was finished elsewhere is finished here.

    Raises:
        UserError: the folder is no whole pack, is of another experiment, or there are results already.
    """
    manifest, experiments = read_manifest(source), list(experiments)
    if manifest["experiment"] != experiments[0]:
        raise UserError(
            f"{source} is a pack of '{manifest['experiment']}', not of '{experiments[0]}'; name its own"
            " experiment file."
        )
    there = [name for name in experiments if any((folder / "results" / name).glob("*"))]
    if there:
        raise UserError(
            f"{folder / 'results' / there[0]} holds results already, and a pack would mix with them; leave"
            " --unpack out to go on from them, or move them away."
        )
    for path, data in _contents(source, manifest):
        with atomic_path(folder / path) as temporary:
            temporary.write_bytes(data)
    _age(folder, {path: facts["modified"] for path, facts in manifest["files"].items()})
    return manifest


def _contents(source: Path, manifest: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a pack, each checked.

    Raises:
        UserError: the archive holds what the manifest does not say.
    """
    whole = io.BytesIO(b"".join((source / name).read_bytes() for name in manifest["parts"]))
    if not manifest["parts"]:
        return
    with tarfile.open(fileobj=whole) as archive:
        for member in archive:
            data = archive.extractfile(member).read() if member.isfile() else b""
            facts = manifest["files"].get(member.name)
            if facts is None or hashlib.sha256(data).hexdigest() != facts["sha256"]:
                raise UserError(f"{source} holds {member.name}, which its {MANIFEST} does not know so.")
            if ".." in Path(member.name).parts or Path(member.name).parts[0] != "results":
                raise UserError(f"{source} holds {member.name}, which is no result; do not use this pack.")
            yield member.name, data


def _age(folder: Path, modified: dict[str, int]) -> None:
    """Set the files' ages to consecutive ones that end now; those of one age stay of one age."""
    ages = sorted(set(modified.values()))
    now = time.time_ns()
    new = {age: now - (len(ages) - 1 - place) * STEP for place, age in enumerate(ages)}
    for path, age in modified.items():
        os.utime(folder / path, ns=(new[age], new[age]))
