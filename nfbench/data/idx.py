"""The four IDX files of Fashion-MNIST: finding, downloading, checking and reading them.

Format: http://yann.lecun.com/exdb/mnist/ (big-endian magic 0x0000 08 ndim, the sizes, the bytes).
Checksums are of the decompressed content, since distributions compress the files anew.
"""

import gzip
import hashlib
import http.client
import os
import struct
import urllib.request
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nfbench.errors import UserError
from nfbench.files import atomic_path

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist
SOURCE_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
TIMEOUT_SECONDS = 30

# Array name -> (file name, sha256 of the decompressed file).
FASHION_FILES: Mapping[str, tuple[str, str]] = {
    "train_images": (
        "train-images-idx3-ubyte",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    "train_labels": (
        "train-labels-idx1-ubyte",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    "test_images": (
        "t10k-images-idx3-ubyte",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    "test_labels": (
        "t10k-labels-idx1-ubyte",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}


def parse_idx(content: bytes) -> np.ndarray:
    """Decode an IDX file of unsigned bytes.

    Returns:
        uint8 array with the sizes of the header.

    Raises:
        ValueError: wrong magic number or length.
    """
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError("not an IDX file of unsigned bytes")
    ndim = content[3]
    header = 4 + 4 * ndim
    if len(content) < header:
        raise ValueError("IDX header is cut off")
    shape = struct.unpack(f">{ndim}I", content[4:header])
    values = np.frombuffer(content, dtype=np.uint8, offset=header)
    if values.size != int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"IDX header promises {shape}, the file holds {values.size} values")
    return values.reshape(shape).copy()


def read_fashion(folder: str | Path | None = None) -> dict[str, np.ndarray]:
    """Read Fashion-MNIST as published.

    Looked for in `folder` alone where one is given; otherwise in the Debian package's folder, then
    in the user's cache, then downloaded into that cache.

    Returns:
        train_images (60000, 28, 28), train_labels (60000,), test_images (10000, 28, 28) and
        test_labels (10000,), all uint8.

    Raises:
        UserError: no complete set of files anywhere, or a file differs from the published one.
    """
    paths = find_fashion(folder)
    return {key: parse_idx(_read_checked(paths[key], sha256)) for key, (_, sha256) in FASHION_FILES.items()}


def find_fashion(folder: str | Path | None = None) -> dict[str, Path]:
    """Return the path of each file, downloading them where it must; see `read_fashion`."""
    cache = cache_folder()
    for candidate in (DEBIAN_FOLDER, cache) if folder is None else (Path(folder),):
        paths = _files_in(candidate)
        if len(paths) == len(FASHION_FILES):
            return paths
    if folder is not None:
        raise UserError(f"Fashion-MNIST is not complete in {folder}: {_how_to_get(folder)}")
    try:
        for key in FASHION_FILES.keys() - paths.keys():
            _download(*FASHION_FILES[key], cache)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"Fashion-MNIST is neither in {DEBIAN_FOLDER} nor in {cache} and could not be"
            f" downloaded ({error}): {_how_to_get(cache)}"
        ) from None
    return _files_in(cache)


def cache_folder() -> Path:
    """Return the user's cache for the files, below XDG_CACHE_HOME or ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "nfbench" / "fashion-mnist"


def _files_in(folder: Path) -> dict[str, Path]:
    """Return those of the four files that are in `folder`, compressed or not."""
    found = {}
    for key, (name, _) in FASHION_FILES.items():
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                found[key] = path
    return found


def _how_to_get(folder: str | Path) -> str:
    names = ", ".join(f"{name}.gz" for name, _ in FASHION_FILES.values())
    return f"fetch {names} from {SOURCE_URL} and put them into {folder}."


def _read_checked(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again.") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{path} is not the published file (its sha256 differs); fetch it again.")
    return content


def _download(name: str, sha256: str, folder: Path) -> None:
    """Fetch one file into `folder`; nothing stays there unless it is whole and as published.

    Raises:
        OSError, HTTPException: no connection, a timeout, or an answer cut short.
        UserError: what came is not the published file.
    """
    url = f"{SOURCE_URL}/{name}.gz"
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        content = response.read()
    with atomic_path(folder / f"{name}.gz") as temporary:
        temporary.write_bytes(content)
        try:
            _read_checked(temporary, sha256)
        except UserError:
            raise UserError(f"{url} did not deliver the published file: {_how_to_get(folder)}") from None
