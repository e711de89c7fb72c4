"""Tables 2 and 3: objectives and ablations, compared over seeds, with the published numbers beside them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nfbench.report.comparisons import Comparison, compare, verdict
from nfbench.report.over_samples import check_comparable
from nfbench.report.tables import (
    Floors,
    commits,
    distances,
    distinct,
    mean,
    notes,
    origins,
    seen_spaces,
    spread,
    values,
)
from nfbench.sample.contestant import contestant

# What verdicts are drawn from: the column, and where its values are. Kernel distances are unbiased at any n.
MEASURES = {
    "fd_effnet": ("effnet", "frechet"),
    "kid_effnet": ("effnet", "kid"),
    "fd_classifier": ("classifier", "frechet"),
}
_DESCRIPTION = {2: ("title",), 3: ("factor", "change")}
_VERDICTS = tuple(
    f"{what}_{measure}" for measure in MEASURES for what in ("effect", "effect_std", "p", "verdict")
)
_COLUMNS = (
    *("fd_effnet", "fd_effnet_std", "fd_effnet_floor"),
    *("kid_effnet", "kid_effnet_std", "kid_effnet_floor"),
    *("fd_classifier", "fd_classifier_std", "fd_classifier_floor"),
    *("label_accuracy", "label_accuracy_std", "label_accuracy_real"),
    *("validation_reconstruction_mse", "validation_reconstruction_mse_std"),
    *("paper_id", "paper_fid", "paper_base_id", "paper_base_fid"),
    *("compared_with", *_VERDICTS),
    *("seen_spaces", "nfe", "score_evaluations", "guidance"),
    *("params_millions", "reverse_steps", "train_seconds_reverse"),
    *("non_finite", "clipped", "n_samples", "n_reference", "seeds", "notes"),
    *("device", "precision", "commit"),
)


@dataclass(frozen=True)
class Published:
    """A published FID and the id of its row in paper_numbers.csv."""

    id: str
    fid: float


@dataclass(frozen=True)
class Arm:
    """One row, as measured; lists have one item a seed.

    Attributes:
        contestant: see `nfbench.sample.contestant`.
        described: the cells that say what it is.
        quality: of measure_quality.
        reconstruction: the reverse model's last `validation_reconstruction_mse`, of its images as they are;
            empty for exact inverses.
        paper: its published number.
        paper_base: the published number of what it is compared with.
    """

    contestant: str
    described: dict[str, str]
    quality: list[dict[str, Any]]
    reconstruction: list[float]
    paper: Published | None = None
    paper_base: Published | None = None

    def scores(self, measure: str) -> list[float | None]:
        """Return a measure's value at every seed, None where it was not measured."""
        return values(self.quality, *MEASURES[measure])

    @property
    def seen_spaces(self) -> list[str]:
        """Feature spaces that a loss of its training has seen."""
        return seen_spaces(self.quality)


def comparison_table(
    experiment: str, table: int, arms: Sequence[Arm], base: Arm, floors: Floors
) -> pd.DataFrame:
    """Return table 2 or 3: a row an arm, each compared with the base.

    Args:
        table: 2 or 3.
        arms: the rows; the base is one of them.
        base: what every row is compared with: effects are the row's value minus the base's.
        floors: of real test images at the same n.

    Raises:
        UserError: sample sets were not measured alike, see `check_comparable`.
    """
    measured = {arm.contestant: arm.quality for arm in arms}
    check_comparable(measured | {"floor": floors.clean, "floor-noisy": floors.noisy})
    rows = [
        {
            **_identity(experiment, arm),
            **arm.described,
            **_scores(arm, floors),
            **_published(arm),
            **(_against(arm, base) if arm is not base else {}),
            **_origin(arm),
        }
        for arm in arms
    ]
    columns = ("experiment", "sampler", "variant", *_DESCRIPTION[table], *_COLUMNS)
    return pd.DataFrame(rows).reindex(columns=list(columns))


def pairs(arms: Sequence[Arm], base: Arm) -> list[tuple[Arm, Arm, float | None]]:
    """Return what is compared: every arm with the base, and arms of one factor with each other.

    Objectives (table 2) have no factor and are all compared. The third item is the published difference,
    first minus second, None where there is none.
    """
    found = []
    for first, second in itertools.combinations(arms, 2):
        if second is base or first is base:
            first, second = (second, first) if first is base else (first, second)
            published = _difference(first.paper, first.paper_base)
        elif first.described.get("factor") == second.described.get("factor"):
            published = _difference(first.paper, second.paper)
        else:
            continue
        found.append((first, second, published))
    return found


def _difference(first: Published | None, second: Published | None) -> float | None:
    return first.fid - second.fid if first and second else None


def verdict_table(compared: Sequence[tuple[Arm, Arm, float | None]]) -> pd.DataFrame:
    """Return one row per comparison of `pairs` and measure."""
    rows = []
    for (first, second, published), measure in itertools.product(compared, MEASURES):
        found, words = judge(measure, first, second, published)
        rows.append(
            {
                "first": first.contestant,
                "second": second.contestant,
                "paper_difference": published,
                "measure": measure,
                "difference": found and found.mean,
                "difference_std": found and found.std,
                "p": found and found.p,
                "seeds": found and found.seeds,
                "verdict": words,
            }
        )
    return pd.DataFrame(rows)


def in_words(verdicts: pd.DataFrame) -> list[str]:
    """Return one sentence per comparison, with its verdict in every measure."""
    lines = []
    for (first, second), rows in verdicts.groupby(["first", "second"], sort=False):
        published = rows["paper_difference"].iloc[0]
        claim = f"{first} against {second}"
        if published and not pd.isna(published):
            claim = f"{first} {'below' if published < 0 else 'above'} {second}, as published"
        lines.append(f"{claim}: " + "; ".join(_sentence(row) for _, row in rows.iterrows()) + ".")
    return lines


def _sentence(row: pd.Series) -> str:
    if pd.isna(row["difference"]):
        return f"{row['measure']} {row['verdict']}"
    numbers = f"{row['difference']:+.3g}"
    if not pd.isna(row["difference_std"]):
        numbers += f" ± {row['difference_std']:.2g}, p = {row['p']:.2g}"
    return f"{row['measure']} {row['verdict']} ({numbers})"


def judge(measure: str, first: Arm, second: Arm, published: float | None) -> tuple[Comparison | None, str]:
    """Compare two arms in one measure; see `nfbench.report.comparisons.verdict`."""
    found = compare(first.scores(measure), second.scores(measure))
    return found, verdict(found, published, _objection(measure, first, second) if found else "")


def _objection(measure: str, first: Arm, second: Arm) -> str:
    """Say why a measure cannot judge two arms, or nothing."""
    space, kind = MEASURES[measure]
    seen = [arm.contestant for arm in (first, second) if space in arm.seen_spaces]
    if seen:
        return f"no verdict: the loss of {' and '.join(seen)} has seen these features"
    deficient = any(row["spaces"][space]["rank_deficient"] for arm in (first, second) for row in arm.quality)
    if kind == "frechet" and deficient:
        return "no verdict: too few images for this many features"
    return ""


def _identity(experiment: str, arm: Arm) -> dict[str, Any]:
    named = contestant(arm.contestant)
    return {"experiment": experiment, "sampler": named.sampler, "variant": named.variant}


def _scores(arm: Arm, floors: Floors) -> dict[str, Any]:
    accuracy = [row["label_accuracy"] for row in arm.quality]
    # A model's own images are noisy where its contestant's are denoised; of these there is no such measure.
    reconstruction = [] if contestant(arm.contestant).denoised else arm.reconstruction
    return {
        **distances(arm.quality, floors),
        "label_accuracy": mean(accuracy),
        "label_accuracy_std": spread(accuracy),
        "label_accuracy_real": mean([floor["label_accuracy"] for floor in floors.clean]),
        "validation_reconstruction_mse": mean(reconstruction),
        "validation_reconstruction_mse_std": spread(reconstruction),
    }


def _published(arm: Arm) -> dict[str, Any]:
    return {
        "paper_id": arm.paper and arm.paper.id,
        "paper_fid": arm.paper and arm.paper.fid,
        "paper_base_id": arm.paper_base and arm.paper_base.id,
        "paper_base_fid": arm.paper_base and arm.paper_base.fid,
    }


def _against(arm: Arm, base: Arm) -> dict[str, Any]:
    """Return the cells of the comparison with the base."""
    published = _difference(arm.paper, arm.paper_base)
    cells: dict[str, Any] = {"compared_with": base.contestant}
    for measure in MEASURES:
        found, words = judge(measure, arm, base, published)
        cells |= {
            f"effect_{measure}": found and found.mean,
            f"effect_std_{measure}": found and found.std,
            f"p_{measure}": found and found.p,
            f"verdict_{measure}": words,
        }
    return cells


def _origin(arm: Arm) -> dict[str, Any]:
    samples = [quality["samples"] for quality in arm.quality]
    training = [sample["training"] for sample in samples]
    learned = bool(arm.reconstruction)
    made = origins(arm.quality)
    return {
        "seen_spaces": " ".join(arm.seen_spaces) or None,
        "nfe": mean([sample["cost"]["nfe"] for sample in samples]),
        "score_evaluations": mean([sample["cost"]["score_evaluations"] for sample in samples]),
        "guidance": samples[0]["guidance"],
        "params_millions": mean([sample["parameters"] / 1e6 for sample in samples]),
        "reverse_steps": training[0]["steps"] if learned else None,
        "train_seconds_reverse": mean([row["seconds"] for row in training]) if learned else None,
        "non_finite": sum(sample["non_finite"] for sample in samples),
        "clipped": sum(sample["clipped"] for sample in samples),
        "n_samples": samples[0]["n"],
        "seeds": " ".join(str(sample["seed"]) for sample in samples),
        "notes": "; ".join(notes(arm.quality)),
        "device": "; ".join(distinct(origin["device"] for origin in made)),
        "precision": "; ".join(distinct(origin["precision"] for origin in made)),
        "commit": " ".join(distinct(commits(made))),
    }
