"""The measurement row: one number, with what it is of and where it comes from.

Every measuring job writes rows of this one format, and every table, figure and claim is a query on them.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from nfbench.errors import UserError
from nfbench.files import atomic_path, sha256_file

COLUMNS = {
    "origin": "'this run', or 'reference FOLDER' for committed results; filled in when files are joined",
    "experiment": "name of the experiment; filled in when files are joined",
    "sampler": "name of the row; for measurements of a model, the name of the flow or reverse",
    "seed": "seed of training and samples; several, e.g. '0 1 2', for a mean over them; else empty",
    "metric": "what is measured, a key of METRICS",
    "space": "feature space of distances: effnet, classifier, inception or dinov2; else empty",
    "task": "of edited images: 'inpainting MASK' or 'class-editing'; else empty",
    "value": "the number; empty where it was not measured",
    "low": "lower end of its 95% interval, over samples (one seed) or over seeds (several); empty for none",
    "high": "upper end of it",
    "n": "images behind the value",
    "batch_size": "images in a call, of speed",
    "guidance": "scale of guidance",
    "step": "training step, of checkpoints and training curves",
    "repetition": "index of the process, of speed",
    "relative_to": "the other sampler, of metrics that end in _difference (minus it) or _ratio (over it)",
    "flag": "why the number must not be compared, one of FLAGS; else empty",
    "device": "name of the device",
    "precision": "fp32 or bf16, of times also tf32",
    "commit": "of the source tree, '+dirty' where it was changed",
    "source": "file that the measuring job wrote, relative to the folder of results",
    "sha256": "of that file",
}
TEXT = (
    *("origin", "experiment", "sampler", "seed", "metric", "space", "task", "relative_to", "flag"),
    *("device", "precision", "commit", "source", "sha256"),
)
NUMBERS = tuple(name for name in COLUMNS if name not in TEXT)

FLAGS = {
    "non_finite": "an image is not finite",
    "not_measured": "it could not be measured; the job's log says why",
    "seen_by_loss": "a loss of the training has compared these features",
    "rank_deficient": "fewer images than twice the features",
    "busy": "other processes disturbed the timing",
    "unstable": "the time was not stable yet",
    "one_seed": "a single seed has no spread",
}

THIS_RUN = "this run"  # origin of the rows that the user has measured

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """A quantity.

    Attributes:
        description: what it is.
        unit: of its values; "" for a number without one.
        better: the direction that is better; None where none is.
        geometric: whether its mean is the geometric one, as of times.
    """

    description: str
    unit: str = ""
    better: Better | None = None
    geometric: bool = False


METRICS = {
    # quality of a sample set
    "fd": Metric("Frechet distance to the reference images", better="lower"),
    "fd_at_n": Metric("Frechet distance of a part of the sample set; n says of how many images"),
    "fd_at_infinity": Metric("Frechet distance extrapolated to infinitely many samples", better="lower"),
    "kid": Metric("kernel inception distance (KID), unbiased", better="lower"),
    "precision": Metric("share of samples near a reference image", better="higher"),
    "recall": Metric("share of reference images near a sample", better="higher"),
    "inception_score": Metric("Inception score", better="higher"),
    "label_accuracy": Metric("share in which the classifier finds the requested class", better="higher"),
    # the draw
    "nfe": Metric("serial evaluations of the whole network", better="lower"),
    "token_steps": Metric("tokens evaluated, summed over serial calls"),
    "iterations": Metric("fixed-point iterations, mean over blocks"),
    "score_evaluations": Metric("forward-and-backward passes spent on denoising"),
    "params_millions": Metric("parameters that sampling uses", "millions"),
    "non_finite": Metric("images with a value that is not finite"),
    "clipped": Metric("values outside [-1, 1] before the one clamp"),
    "n_samples": Metric("images drawn"),
    "n_reference": Metric("reference images"),
    "kid_subset_size": Metric("images in a random subset of KID"),
    "tolerance": Metric("threshold on the largest change in an iteration"),
    # inversion
    "inversion_mse": Metric(
        "squared error against the exact inverse of the same noise", "[-1, 1]^2", "lower"
    ),
    "inversion_visible_share": Metric("share of images off by more than 8 grey levels", better="lower"),
    "residual": Metric("RMS of F(x) - z per dimension", better="lower"),
    # reconstruction, of a reverse
    "reconstruction_mse": Metric("squared error of images sent to noise and back", "[-1, 1]^2", "lower"),
    "denoised_mse": Metric("the same, denoised by the flow's score", "[-1, 1]^2", "lower"),
    "noisy_mse": Metric("the same against the noisy image", "[-1, 1]^2", "lower"),
    "fd_reconstruction": Metric("Frechet distance of reconstructions", better="lower"),
    "fd_denoised_reconstruction": Metric("Frechet distance of denoised reconstructions", better="lower"),
    "label_accuracy_reconstruction": Metric("label accuracy of reconstructions", better="higher"),
    "label_accuracy_denoised_reconstruction": Metric("label accuracy of denoised ones", better="higher"),
    # flow
    "nll_nats_per_dim": Metric("negative log-likelihood of noisy test images", "nats per dimension", "lower"),
    "nll_limit": Metric("entropy of the training noise, no density is below it", "nats per dimension"),
    "bits_per_dim": Metric("of uniformly dequantised test images", "bits per dimension", "lower"),
    "bits_limit": Metric("best bits per dimension at this training noise", "bits per dimension"),
    "state_rms": Metric("RMS of the state after each block"),
    "block_crm_percent": Metric("convergence ranking measure, share of the blocks", "%"),
    "block_hardness_percent": Metric("CRM times the smaller IGM, share of the blocks", "%"),
    # training
    "train_seconds": Metric("seconds spent on training steps", "s"),
    "train_steps": Metric("training steps"),
    "loss": Metric("training loss, mean since the last row"),
    "validation_nll_nats_per_dim": Metric("NLL of validation images", "nats per dimension", "lower"),
    "validation_reconstruction_mse": Metric("reconstruction of validation images", "[-1, 1]^2", "lower"),
    "validation_noisy_mse": Metric("reconstruction of noisy validation images", "[-1, 1]^2", "lower"),
    "validation_alignment_mse": Metric("alignment error of each state, validation images", better="lower"),
    # speed
    "ms_per_image": Metric("wall-clock time an image, one value a process", "ms", "lower", geometric=True),
    "ms_per_image_replicate": Metric("the same of the A/A replicate", "ms", geometric=True),
    "precision_error": Metric("RMS difference of the images from those in fp32", "[-1, 1]", "lower"),
    "peak_memory_mib": Metric("most memory held beyond the process at rest", "MiB", "lower"),
    "flops_per_image": Metric("FLOPs an image, by the architecture", "FLOPs", "lower"),
    "utilisation": Metric("FLOPs a second, as a share of a large matrix product's", better="higher"),
    "joules_per_image": Metric("energy an image", "J", "lower"),
    "other_cores": Metric("cores that other processes used meanwhile"),
    "clock_mhz": Metric("clock right after the timing", "MHz"),
    # editing
    "kept_mse": Metric("error on known pixels, mean over images", "[-1, 1]^2", "lower"),
    "kept_mse_median": Metric("error on known pixels, median over images", "[-1, 1]^2", "lower"),
    "kept_mse_pasted": Metric("error on known pixels after pasting", "[-1, 1]^2", "lower"),
    "hidden_mse": Metric("error on hidden pixels, mean over images", "[-1, 1]^2", "lower"),
    "hidden_mse_median": Metric("error on hidden pixels, median over images", "[-1, 1]^2", "lower"),
    "kept_mse_other": Metric("error on known pixels of another test image", "[-1, 1]^2"),
    "hidden_mse_other": Metric("error on hidden pixels of another test image", "[-1, 1]^2"),
    "label_accuracy_edited": Metric("share taken for the class to be shown", better="higher"),
    "label_accuracy_pasted": Metric("the same after pasting", better="higher"),
    "label_accuracy_real": Metric("label accuracy of the untouched images"),
    "kept_class_share": Metric("share still taken for the old class", better="lower"),
    "leak": Metric("largest change of a result when hidden pixels have other values", better="lower"),
    # quality against training time, derived
    "seconds_until_below_exact": Metric("training time until a reverse passes the exact inverse", "s"),
    "seconds_until_half_of_exact": Metric("training time until half of its distance", "s"),
}
NUMBERED = ("iterations_block", "state_rms_", "block_crm_percent_", "block_hardness_percent_")
NUMBERED += ("validation_alignment_mse_",)  # metrics of one block or state each, counted from the data side


def metric(name: str) -> Metric:
    """Look a metric up; one of a block or a derived difference or ratio is described by what it is made of.

    Raises:
        UserError: there is none of that name.
    """
    base = name.removesuffix("_difference").removesuffix("_ratio")
    if base in METRICS:
        return METRICS[base]
    for prefix in NUMBERED:
        if base.startswith(prefix) and base.removeprefix(prefix).isdecimal():
            return METRICS[prefix.removesuffix("_block").rstrip("_")]
    from nfbench.errors import closest

    raise UserError(f"There is no metric '{name}'; {closest(name, list(METRICS))}")


def row(name: str, value: float | None, **keys: Any) -> dict[str, Any]:
    """Make a row: a metric, its value (None where it was not measured), and further columns by name.

    Raises:
        ValueError: a column or a flag that does not exist.
    """
    unknown = set(keys) - set(COLUMNS)
    if unknown or keys.get("flag", "") not in ("", *FLAGS):
        raise ValueError(f"no such columns {sorted(unknown)} or flag {keys.get('flag')!r}")
    missing = value is None or math.isnan(value)
    made = {"metric": name, "value": None if missing else float(value)} | keys
    if missing and not made.get("flag"):
        made["flag"] = "not_measured"
    return made


def write_rows(
    path: str | Path, rows: Iterable[Mapping[str, Any]], provenance: Mapping[str, Any] | None = None
) -> None:
    """Write rows as CSV, whole or not at all.

    Args:
        provenance: of `nfbench.provenance`; gives device, precision and commit where a row has none.
    """
    made = {key: (provenance or {}).get(key) for key in ("device", "precision", "commit")}
    for each in (rows := [made | dict(each) for each in rows]):
        metric(each["metric"])
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).to_csv(temporary, index=False)


def read_rows(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Read and join files of rows: text columns as text with "" for empty, numbers as floats with NaN.

    Raises:
        UserError: a file is missing, or holds no rows of this format.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    parts = [_read(Path(path)) for path in paths]
    return pd.concat(parts, ignore_index=True) if parts else _typed(pd.DataFrame(columns=list(COLUMNS)))


def join_rows(paths: Iterable[str | Path], results: str | Path) -> pd.DataFrame:
    """Read files of measuring jobs and note beside every row the file that it comes from, and its hash."""
    parts = []
    for path in map(Path, paths):
        source = path.relative_to(results).as_posix() if path.is_relative_to(results) else path.as_posix()
        parts.append(_read(path).assign(source=source, sha256=sha256_file(path)))
    return pd.concat(parts, ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run snakemake to make it.") from None
    except (OSError, ValueError) as error:  # of pandas' errors too
        raise UserError(f"{path} cannot be read ({error}); delete it and run snakemake again.") from None
    if list(frame.columns) != list(COLUMNS):
        raise UserError(
            f"{path} holds no measurement rows of this version; delete it and run snakemake again."
        )
    try:
        return _typed(frame)
    except ValueError as error:
        raise UserError(
            f"{path} holds a number that is none ({error}); delete it and run snakemake."
        ) from None


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    numbers = {name: pd.to_numeric(frame[name].replace("", None)).astype(float) for name in NUMBERS}
    texts = {name: frame[name].astype(object) for name in TEXT}
    return pd.DataFrame(numbers | texts, columns=list(COLUMNS))


def write_frame(path: str | Path, rows: pd.DataFrame) -> None:
    """Write a frame of `read_rows` as CSV, whole or not at all; numbers keep all digits."""
    with atomic_path(path) as temporary:
        rows.to_csv(temporary, index=False)
