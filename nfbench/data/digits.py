"""The 8x8 digits that scikit-learn carries (UCI Optical Recognition of Handwritten Digits)."""

import gzip
import hashlib
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from nfbench.errors import UserError

# sha256 over the images after conversion to 8 bits, then the labels as uint8; computed from
# `sklearn.datasets.load_digits()`, which a test compares with what is read here.
CONTENT_SHA256 = "a19cb3d96bba7deace8ee5a513a6eb7bad0403d528f00bf4d351b6a7a55baa91"


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Read the 1797 digits.

    Reads scikit-learn's data file without importing scikit-learn, which would cost each process
    seconds.

    Returns:
        images: uint8, (1797, 8, 8), round(v 255/16) of the grey levels v in 0..16.
        labels: uint8, (1797,).

    Raises:
        UserError: scikit-learn or its data file is missing, or holds other data.
    """
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise UserError("The data set 'digits' needs scikit-learn; run pip install scikit-learn.")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}); install scikit-learn again.") from None
    images = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    labels = table[:, -1].astype(np.uint8)
    digest = hashlib.sha256(images)
    digest.update(labels)
    if digest.hexdigest() != CONTENT_SHA256:
        raise UserError(f"{path} holds other digits (sha256 differs); install scikit-learn again.")
    return images, labels
