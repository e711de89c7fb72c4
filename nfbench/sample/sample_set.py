"""Sample sets: drawn image by image from (seed, i), clamped once, counted, and stored in 8 bits."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from nfbench.data.noise import balanced_labels, latent_noise
from nfbench.data.pixels import to_uint8
from nfbench.errors import UserError
from nfbench.files import atomic_path
from nfbench.sample.sampler import Sampled, Sampler
from nfbench.script import progress


@dataclass(frozen=True)
class Draw:
    """Samples as a model left them, before the one clamp.

    Attributes:
        images: floating, (n, c, H, W), nominally in [-1, 1].
        labels: the classes asked for, int64, (n,); -1 throughout for an unconditional model.
        cost: nfe, token_steps, iterations and score_evaluations, averaged over batches.
    """

    images: np.ndarray
    labels: np.ndarray
    cost: dict[str, Any]


@dataclass(frozen=True)
class SampleSet:
    """A stored sample set.

    Attributes:
        images: uint8, (n, c, H, W).
        labels: int64, (n,).
        meta: sampler, seed, n, non_finite (images), clipped (values), cost and provenance.
    """

    images: np.ndarray
    labels: np.ndarray
    meta: dict[str, Any]


def batches(n: int, batch_size: int) -> Iterator[range]:
    """Split 0..n-1 into consecutive ranges of at most `batch_size`."""
    for start in range(0, n, batch_size):
        yield range(start, min(n, start + batch_size))


def inputs_of(
    sampler: Sampler, seed: int, indices: range, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """Return the noise and labels of the named images; they depend on (seed, index) alone."""
    z = latent_noise(seed, indices, sampler.latent_shape).to(dtype=dtype, device=device)
    if sampler.n_classes is None:
        return z, None
    return z, balanced_labels(indices, sampler.n_classes).to(device)


def draw(
    sampler: Sampler,
    *,
    seed: int,
    n: int,
    batch_size: int,
    guidance: float = 0.0,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    report: Callable[[str], None] = lambda line: None,
) -> Draw:
    """Draw images 0..n-1 of a seed; what image i shows does not depend on the batch size."""
    images, labels, outs = [], [], []
    started = time.monotonic()
    for indices in batches(n, batch_size):
        z, y = inputs_of(sampler, seed, indices, device, dtype)
        out = sampler.sample(z, y, guidance)
        images.append(out.images.cpu().numpy())
        labels.append(np.full(len(z), -1) if y is None else y.cpu().numpy())
        outs.append(out)
        report(progress(indices.stop, n, started))
    return Draw(np.concatenate(images), np.concatenate(labels), _mean_cost(outs))


def _mean_cost(outs: list[Sampled]) -> dict[str, Any]:
    iterations = [out.iterations for out in outs]
    steps = [out.token_steps for out in outs]
    return {
        "nfe": float(np.mean([out.nfe for out in outs])),
        "token_steps": None if None in steps else float(np.mean(steps)),
        "iterations": None if None in iterations else np.mean(iterations, axis=0).tolist(),
        "score_evaluations": float(np.mean([out.score_evaluations for out in outs])),
    }


def to_sample_set(drawn: Draw, meta: dict[str, Any]) -> SampleSet:
    """Clamp and round to 8 bits, once; count images with non-finite values and clipped values.

    A non-finite image is stored black, is counted in `meta["non_finite"]`, and makes the set's quality
    unmeasurable: it is never redrawn.
    """
    images = torch.from_numpy(drawn.images)
    finite = torch.isfinite(images).flatten(1).all(dim=1)
    whole = images.masked_fill(~finite[:, None, None, None], -1.0)
    converted, clipped = to_uint8(whole)
    counts = {
        "n": len(images),
        "non_finite": int((~finite).sum()),
        "clipped": int(clipped.sum()),
    }
    return SampleSet(converted.numpy(), drawn.labels, meta | counts | {"cost": drawn.cost})


def write_sample_set(path: str | Path, samples: SampleSet) -> None:
    """Write a sample set as a compressed .npz, whole or not at all."""
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            images=samples.images,
            labels=samples.labels,
            meta=json.dumps(samples.meta),
        )


def read_sample_set(path: str | Path) -> SampleSet:
    """Read a sample set.

    Raises:
        UserError: the file is missing, corrupt, or no sample set.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
            meta = json.loads(str(file["meta"]))
    except FileNotFoundError:
        raise UserError(f"Sample set {path} does not exist; run snakemake to draw it.") from None
    except (BadZipFile, EOFError, KeyError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is no sample set or is corrupt ({error}); delete it and run snakemake again."
        ) from None
    return SampleSet(images, labels, meta)


def write_draw(path: str | Path, images: np.ndarray) -> None:
    """Keep unclamped images, float32 (n, c, H, W), as .npy: for errors and denoising."""
    with atomic_path(path) as temporary:
        np.save(temporary, images.astype(np.float32, copy=False))


def read_draw(path: str | Path) -> np.ndarray:
    """Read unclamped images, float32 (n, c, H, W).

    Raises:
        UserError: the file is missing or corrupt.
    """
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"Samples {path} do not exist; run snakemake to draw them.") from None
    except (EOFError, OSError, ValueError) as error:
        raise UserError(f"{path} is corrupt ({error}); delete it and run snakemake again.") from None
