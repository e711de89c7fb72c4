"""Measurement rows of one sample set: distances to the real images, label accuracy, and facts of the draw."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nfbench.errors import UserError
from nfbench.measure.quality.classifier import accuracy, load_classifier, predict
from nfbench.measure.quality.distances import (
    Reference,
    Statistics,
    frechet,
    inception_score,
    kid,
    kid_subset_size,
    precision_recall,
    rank_deficient,
    read_reference,
    statistics,
)
from nfbench.measure.quality.features import extract, extract_with_logits, has_logits, weights_sha256
from nfbench.measure.quality.uncertainty import (
    Halves,
    bootstrap_mean,
    by_size,
    can_extrapolate,
    ends,
    frechet_at_infinity,
    frechet_interval,
    halves,
    subset_interval,
)
from nfbench.measurements import row
from nfbench.sample.sample_set import SampleSet

# Divisors of n for the smaller parts, beside its half. Much smaller parts would leave the covariance of 1280
# features without most of its rank.
PARTS = (8, 4)
LABELS = "classifier"  # the space of label accuracy
DISTANCES = ("fd", "fd_at_infinity", "kid", "precision", "recall")

Row = dict[str, Any]


def read_references(paths: Iterable[str | Path], classifier: str | Path) -> dict[str, Reference]:
    """Read the references, {space: reference}.

    Args:
        paths: files of `write_reference`.
        classifier: the domain classifier's file.

    Raises:
        UserError: a file is missing, corrupt or made with other weights.
    """
    found = {}
    for path in paths:
        reference = read_reference(path)
        if reference.weights_sha256 != weights_sha256(reference.space, classifier):
            raise UserError(
                f"The reference {path} was made with other weights of the feature space '{reference.space}'"
                " than the samples; delete it and run snakemake again."
            )
        found[reference.space] = reference
    return found


def quality_rows(
    samples: SampleSet,
    references: Mapping[str, Reference],
    classifier: str | Path,
    *,
    kid_subsets: int = 25,
    n_splits: int = 10,
    device: torch.device | str = "cpu",
    report: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Compare a sample set with the reference in every feature space, and check its labels.

    Args:
        samples: where an image is not finite, all values are empty; `meta["feature_spaces_in_loss"]` names
            the spaces whose values are flagged.
        references: {space: reference}.
        classifier: the domain classifier's file.
        kid_subsets: random subsets that KID averages over.
        n_splits: random splits into halves, for the intervals of Frechet distances; see `halves`.
        device: where features are computed.
        report: takes lines of progress.

    Returns:
        Rows without the keys of the sampler. Every interval is one over samples.
    """
    if samples.meta["non_finite"]:
        report(f"not measured: {samples.meta['non_finite']} of {samples.meta['n']} images are not finite")
        names = [(name, space) for space in references for name in DISTANCES]
        names += [("inception_score", space) for space in references if has_logits(space)]
        return _empty_rows([*names, ("label_accuracy", LABELS)], samples.meta["n"])
    rows, options = [], {"kid_subsets": kid_subsets, "n_splits": n_splits}
    for space, reference in references.items():
        features, logits = extract_with_logits(
            space, samples.images, classifier=classifier, device=device, report=report
        )
        rows += distance_rows(features, reference, logits, **options, seen=_seen(samples, space))
    if (samples.labels >= 0).all():
        correct = predict(load_classifier(classifier, device), samples.images) == samples.labels
        keys = {"space": LABELS, "n": len(correct)} | _flag(_seen(samples, LABELS))
        rows.append(row("label_accuracy", float(correct.mean()), **keys, **ends(bootstrap_mean(correct))))
    return rows


def distance_rows(
    features: np.ndarray,
    reference: Reference,
    logits: np.ndarray | None = None,
    *,
    kid_subsets: int = 25,
    n_splits: int = 10,
    seen: bool = False,
) -> list[Row]:
    """Compare features of samples with those of the real images.

    Args:
        features: (n, dim).
        reference: of the same space.
        logits: (n, classes), in a space that has an Inception score.
        kid_subsets, n_splits: see `quality_rows`.
        seen: whether a loss has compared these features; all rows are then flagged.
    """
    stats, (n, dim) = reference.statistics, features.shape
    keys = {"space": reference.space} | _flag(seen)
    fewer = min(n, stats.n)
    distance = frechet(statistics(features), stats)
    subset_size = min(kid_subset_size(n), len(reference.features))
    kid_mean, kid_std = kid(features, reference.features, subset_size=subset_size, subsets=kid_subsets)
    kid_range = subset_interval(kid_mean, kid_std, subset_size=subset_size, subsets=kid_subsets, n=n)
    precision, recall = precision_recall(features, reference.features)
    split = halves(features, stats, n_splits=n_splits)
    fd_keys = keys | {"n": n} | _flag(seen, rank_deficient(fewer, dim))
    rows = [
        row("fd", distance, **fd_keys, **ends(frechet_interval(distance, split))),
        _at_infinity(distance, split, dim, keys),
        *(row("fd_at_n", value, **keys, n=size) for size, value in _of_parts(features, stats, split)),
        row("fd_at_n", distance, **keys, n=n),
        row("kid", kid_mean, **keys, n=n, **ends(kid_range)),
        row("precision", precision, **keys, n=fewer),
        row("recall", recall, **keys, n=fewer),
    ]
    if logits is not None:
        rows.append(row("inception_score", inception_score(logits)[0], **keys, n=n))
    return [*rows, row("kid_subset_size", subset_size, space=reference.space)]


def _at_infinity(distance: float, split: Halves, dim: int, keys: Row) -> Row:
    """Return the distance at infinite n; empty where there are too few images."""
    if not can_extrapolate(split.n, dim):
        return row("fd_at_infinity", None, **keys, n=split.n)
    value, interval = frechet_at_infinity(distance, split)
    return row("fd_at_infinity", value, **keys, n=split.n, **ends(interval))


def _of_parts(features: np.ndarray, stats: Statistics, split: Halves) -> list[tuple[int, float]]:
    """Return (size, distance) of parts of the sample set, smallest first."""
    sizes = [split.n // part for part in PARTS if split.n // part > 1]
    found = by_size(features, stats, sizes=sizes) | {split.size: float(split.distances.mean())}
    return list(found.items())


def _seen(samples: SampleSet, space: str) -> bool:
    return space in samples.meta["feature_spaces_in_loss"]


def _flag(seen: bool, deficient: bool = False) -> dict[str, str]:
    flag = "seen_by_loss" if seen else "rank_deficient" if deficient else ""
    return {"flag": flag} if flag else {}


def _empty_rows(names: Iterable[tuple[str, str]], n: int) -> list[Row]:
    """Return rows without values for (metric, space) of a sample set with an image that is not finite."""
    return [row(name, None, space=space, n=n, flag="non_finite") for name, space in names]


def draw_rows(samples: SampleSet, references: Mapping[str, Reference]) -> list[Row]:
    """Return facts of the draw: its cost, what was clipped or not finite, and numbers of images.

    A fact that a sampler does not have, e.g. the NFE of real images, has no row.
    """
    meta, cost = samples.meta, samples.meta["cost"]
    iterations, parameters = cost["iterations"] or [], meta["parameters"]
    facts = {name: cost[name] for name in ("nfe", "token_steps", "score_evaluations")}
    facts["iterations"] = float(np.mean(iterations)) if iterations else None
    facts |= {f"iterations_block{i}": value for i, value in enumerate(iterations)}
    facts["params_millions"] = None if parameters is None else parameters / 1e6
    facts |= {"non_finite": meta["non_finite"], "clipped": meta["clipped"], "n_samples": meta["n"]}
    facts["n_reference"] = next((r.statistics.n for r in references.values()), None)
    facts["tolerance"] = meta["settings"].get("tolerance")
    return [row(name, value, n=meta["n"]) for name, value in facts.items() if value is not None]


def reconstruction_rows(
    samples: SampleSet,
    references: Mapping[str, Reference],
    classifier: str | Path,
    *,
    kind: str,
    device: torch.device | str = "cpu",
) -> list[Row]:
    """Return Frechet distances and label accuracy of reconstructions.

    Args:
        samples: reconstructed images; flags as of `quality_rows`.
        kind: "reconstruction" or "denoised_reconstruction", the end of the metrics' names.
        references, classifier, device: see `quality_rows`.
    """
    n, fd, share = samples.meta["n"], f"fd_{kind}", f"label_accuracy_{kind}"
    if samples.meta["non_finite"]:
        return _empty_rows([*((fd, space) for space in references), (share, LABELS)], n)
    rows = []
    for space, reference in references.items():
        stats = reference.statistics
        features = extract(space, samples.images, classifier=classifier, device=device)
        flag = _flag(_seen(samples, space), rank_deficient(min(n, stats.n), stats.dim))
        rows.append(row(fd, frechet(statistics(features), stats), space=space, n=n, **flag))
    model = load_classifier(classifier, device)
    found = accuracy(model, samples.images, samples.labels)
    return [*rows, row(share, found, space=LABELS, n=n, **_flag(_seen(samples, LABELS)))]
