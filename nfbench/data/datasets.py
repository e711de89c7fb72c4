"""Data sets behind one interface: uint8 images, labels, and fixed splits."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nfbench.config import DataConfig
from nfbench.data import digits, fashion14, idx
from nfbench.errors import UserError, closest

# Seed of every split. Independent of the experiments' seeds: all of them see the same images.
SPLIT_SEED = 20240601

DIGITS_TEST_SIZE = 400

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their classes.

    Attributes:
        name: for example "fashion14/train".
        images: uint8, (N, c, H, W), grey levels 0..255.
        labels: class ids, int64, (N,), in 0 .. len(classes) - 1.
        classes: the classes' names.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(f"{self.name}: images must be uint8 (N, c, H, W)")
        if self.labels.dtype != np.int64 or self.labels.shape != (len(self.images),):
            raise ValueError(f"{self.name}: labels must be int64 ({len(self.images)},)")

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the image bytes followed by the labels' bytes (int64, little-endian)."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images))
        digest.update(self.labels.astype("<i8"))
        return digest.hexdigest()

    def subset(self, indices: np.ndarray | Sequence[int]) -> "Dataset":
        """Return the images at `indices`, in that order, as a copy of the same name."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Dataset(self.name, self.images[chosen], self.labels[chosen], self.classes)


@dataclass(frozen=True, eq=False)
class Splits:
    """The three disjoint parts of a data set.

    Models train on `train`, choices are made on `validation`, tables use `test`.
    """

    train: Dataset
    validation: Dataset
    test: Dataset

    @property
    def image_size(self) -> int:
        """Side of an image, pixels."""
        return self.train.images.shape[-1]

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return self.train.images.shape[1]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.train.classes)


def datasets() -> dict[str, str]:
    """Return the names that `load` knows, each with one line on it."""
    return {name: line for name, (line, _) in _DATASETS.items()}


def load(name: str, *, validation_size: int, folder: str | Path | None = None) -> Splits:
    """Load a data set, check it against its checksum and split it.

    The validation part is class-balanced and the same at every call; a smaller one is a part of a
    larger one. Training is the rest of the published training part, and test is as published
    (digits has no published test part: 400 fixed, class-balanced images).

    Args:
        name: a key of `datasets()`.
        validation_size: images held out of the training part, 0 or more.
        folder: where the data files are: the IDX files of fashion, or fashion14.npz; by default
            the package's own file, or the search of `nfbench.data.idx.read_fashion`.

    Raises:
        UserError: unknown name, files missing or not as published, or too large a validation part.
    """
    if name not in _DATASETS:
        raise UserError(f"There is no data set '{name}'; {closest(name, list(_DATASETS))}")
    _, read = _DATASETS[name]
    training, test = read(folder)
    if not 0 <= validation_size < len(training):
        raise UserError(
            f"The validation_size of {name} must be in 0 .. {len(training) - 1}, not {validation_size}."
        )
    train, validation = _hold_out(training, validation_size)
    return Splits(
        train=_named(train, f"{name}/train"),
        validation=_named(validation, f"{name}/validation"),
        test=_named(test, f"{name}/test"),
    )


def load_section(section: dict[str, Any]) -> Splits:
    """Load what the section `data` of an experiment file describes, see `load`."""
    config = DataConfig.model_validate(section)
    return load(config.name, validation_size=config.validation_size, folder=config.folder)


def balanced_indices(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Choose n images at random so that the counts of the classes differ by at most one.

    The choice depends on labels, n and seed alone, and a smaller choice with the same seed is a
    part of a larger one. Asking for all images returns all, balanced or not.

    Args:
        labels: class ids, (N,); balanced over the classes that occur.
        n: how many, 0 .. N.
        seed: 0 <= seed < 2^64.

    Returns:
        Ascending positions, int64, (n,).

    Raises:
        UserError: n is negative, or a class has too few images.
    """
    labels = np.asarray(labels)
    if n == len(labels):
        return np.arange(n, dtype=np.int64)
    if not 0 <= n < len(labels):
        raise UserError(f"Asked for {n} images, but there are {len(labels)}.")
    priority = np.random.Generator(np.random.Philox(key=seed)).random(len(labels))
    classes = np.unique(labels)
    base, extra = divmod(n, len(classes))
    chosen = []
    for position, label in enumerate(classes):
        members = np.flatnonzero(labels == label)
        wanted = base + (position < extra)
        if wanted > len(members):
            raise UserError(
                f"{n} class-balanced images need {wanted} of class {label}, but there are {len(members)}."
            )
        order = np.argsort(priority[members], kind="stable")
        chosen.append(members[order[:wanted]])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _hold_out(data: Dataset, n: int) -> tuple[Dataset, Dataset]:
    """Split off n class-balanced images: (rest, held out), each in the original order."""
    held_out = balanced_indices(data.labels, n, SPLIT_SEED)
    rest = np.setdiff1d(np.arange(len(data)), held_out, assume_unique=True)
    return data.subset(rest), data.subset(held_out)


def _named(data: Dataset, name: str) -> Dataset:
    return Dataset(name, data.images, data.labels, data.classes)


def _from_arrays(
    name: str, arrays: dict[str, np.ndarray], classes: tuple[str, ...]
) -> tuple[Dataset, Dataset]:
    """Make (training part, test part) of grey uint8 arrays (N, H, W) and labels (N,)."""
    training, test = (
        Dataset(
            name,
            arrays[f"{part}_images"][:, None],
            arrays[f"{part}_labels"].astype(np.int64),
            classes,
        )
        for part in ("train", "test")
    )
    return training, test


def _read_fashion14(folder: str | Path | None) -> tuple[Dataset, Dataset]:
    path = fashion14.EMBEDDED if folder is None else Path(folder) / fashion14.EMBEDDED.name
    return _from_arrays("fashion14", fashion14.read_fashion14(path), FASHION_CLASSES)


def _read_fashion(folder: str | Path | None) -> tuple[Dataset, Dataset]:
    return _from_arrays("fashion", idx.read_fashion(folder), FASHION_CLASSES)


def _read_digits(folder: str | Path | None) -> tuple[Dataset, Dataset]:
    if folder is not None:
        raise UserError("The data set 'digits' comes with scikit-learn; give it no folder.")
    images, labels = digits.read_digits()
    classes = tuple(str(digit) for digit in range(10))
    data = Dataset("digits", images[:, None], labels.astype(np.int64), classes)
    return _hold_out(data, DIGITS_TEST_SIZE)


_Reader = Callable[[str | Path | None], tuple[Dataset, Dataset]]

_DATASETS: dict[str, tuple[str, _Reader]] = {
    "fashion14": ("Fashion-MNIST pooled to 14x14 grey, 60,000 + 10,000, embedded", _read_fashion14),
    "fashion": ("Fashion-MNIST 28x28 grey, 60,000 + 10,000, from its IDX files", _read_fashion),
    "digits": ("scikit-learn's 8x8 grey digits, 1,397 + 400", _read_digits),
}
