"""fashion14: Fashion-MNIST (arXiv:1708.07747, MIT licence) pooled to 14x14, embedded as fashion14.npz.

All 60,000 training and 10,000 test images, in the published order. `snakemake
results/fashion14/data/fashion14.npz` makes identical arrays from the four original IDX files: those in
/usr/share/datasets/fashion-mnist (Debian's package dataset-fashion-mnist), else those in
~/.cache/nfbench/fashion-mnist, into which they are downloaded where they are missing.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nfbench.data.idx import read_fashion
from nfbench.errors import UserError
from nfbench.files import atomic_path

EMBEDDED = Path(__file__).with_name("fashion14.npz")

SHAPES: Mapping[str, tuple[int, ...]] = {
    "train_images": (60000, 14, 14),
    "train_labels": (60000,),
    "test_images": (10000, 14, 14),
    "test_labels": (10000,),
}
# sha256 over the bytes of the four arrays in the order above; it does not depend on compression.
CONTENT_SHA256 = "c4a28f572ed787f5ad7a2215ac3500688553be8f2cccfd748b6e5ea4f0513280"


def pool2x2(images: np.ndarray) -> np.ndarray:
    """Halve the image size: (sum of each 2x2 block + 2) // 4, the mean rounded half up.

    Args:
        images: uint8, (N, H, W), H and W even.

    Returns:
        uint8, (N, H/2, W/2).

    Raises:
        ValueError: H or W is odd.
    """
    n, height, width = images.shape
    if height % 2 or width % 2:
        raise ValueError(f"cannot pool {height}x{width} images by two")
    blocks = images.reshape(n, height // 2, 2, width // 2, 2)
    return ((blocks.sum(axis=(2, 4), dtype=np.uint16) + 2) // 4).astype(np.uint8)


def build_fashion14(folder: str | Path | None = None) -> dict[str, np.ndarray]:
    """Rebuild the four arrays from the original IDX files.

    Args:
        folder: where the IDX files are; see `nfbench.data.idx.read_fashion`.

    Returns:
        Arrays with the names and shapes of SHAPES, uint8.

    Raises:
        UserError: the IDX files are not found, or differ from the published ones.
    """
    arrays = read_fashion(folder)
    return {name: pool2x2(values) if name.endswith("images") else values for name, values in arrays.items()}


def content_sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """Hash the arrays' bytes in the order of SHAPES."""
    digest = hashlib.sha256()
    for name in SHAPES:
        digest.update(np.ascontiguousarray(arrays[name]))
    return digest.hexdigest()


def write_fashion14(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays as a compressed .npz, whole or not at all."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **{name: arrays[name] for name in SHAPES})


def read_fashion14(path: str | Path = EMBEDDED) -> dict[str, np.ndarray]:
    """Read the arrays and check them against CONTENT_SHA256.

    Raises:
        UserError: the file is missing, corrupt or holds other data.
    """
    remedy = "install the package again or rebuild the file, see nfbench/data/fashion14.py"
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("no .npz archive, or cut off")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in SHAPES}
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy}.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is corrupt ({error}); {remedy}.") from None
    wrong = any(
        arrays[name].shape != shape or arrays[name].dtype != np.uint8 for name, shape in SHAPES.items()
    )
    if wrong or content_sha256(arrays) != CONTENT_SHA256:
        raise UserError(f"{path} holds other data than fashion14 (sha256 differs); {remedy}.")
    return arrays
