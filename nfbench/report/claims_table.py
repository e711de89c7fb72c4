"""The claims beside what was measured: one line a claim, one line a measurement, and a page of both."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.files import atomic_path
from nfbench.report.claims import DECIDED, Claim, bound, judge, overall, published, published_cell
from nfbench.report.evidence import Evidence, evidence
from nfbench.report.paper_numbers import paper_number
from nfbench.report.seed_intervals import FEWEST_SEEDS

RULE = (
    "Every claim says that a quantity lies on one side of a bound. Rule `order`: on the side of equality"
    " where the paper's numbers lie (a difference against 0, a ratio or a speed-up against 1). Rules"
    " `at_least` and `at_most`: of a share of the paper's number, or of a bound of ours.",
    "`reproduced`: the whole interval of our quantity lies on the claimed side; `contradicted`: the whole"
    " interval lies on the other; else `not resolved`. Intervals over seeds are Student's t at 95%, those of"
    " differences over pairs of equal seed, so that the rule is the paired t-test at 5%, two-sided; those of"
    " timings are what their table gives, in ratios.md quartiles over five rounds or more, and hold what"
    " differs between processes whose times were not yet stable. No correction is made for the number of"
    " claims, nor of a claim's measurements.",
    f"`not resolved (why)` also for fewer than {FEWEST_SEEDS} seeds, for a quantity without an interval, for"
    " features that a loss has seen or of too few images, and for a number of the paper's that is marked"
    " CHECK. `not measured (why)` where no table holds it.",
    "A claim has one line. Its verdict is that of its decided measurements where they agree, and `not"
    " resolved` where they do not, however many are not decided: how many are stands beside. The quantity,"
    " the number and the file shown are those of the first decided one, or else of the first. All of them are"
    " below, and in claims_evidence.csv.",
    "Grades of the paper's numbers: `P` is read in the primary text or code, `S` second-hand, `CHECK`"
    " doubtful. Whether BiFlow's exact inverse is denoised is not known to us, so claims against it are"
    " judged both ways, and one of the two need not be the paper's. Guidance is judged at scale 1, untuned.",
)


def claims_tables(
    claims: Mapping[str, Claim], tables: Mapping[Path, pd.DataFrame], root: str | Path = "."
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the claims, a line each, and all that was measured of them, a line a measurement.

    Args:
        tables: of `nfbench.report.evidence_tables.read_tables`.
        root: folder that the names of files are given from.
    """
    lines, measured = [], []
    for name, claim in claims.items():
        rows = _measurements(claim, tables, root)
        verdicts = [row["verdict"] for row in rows]
        shown = next((row for row in rows if row["verdict"] in DECIDED), None)
        shown = shown or next((row for row in rows if row["measured"] is not None), rows[0])
        told = _told(claim)
        count = {"decided": sum(verdict in DECIDED for verdict in verdicts), "measurements": len(rows)}
        lines.append({"id": name} | told | shown | {"verdict": overall(verdicts)} | count)
        measured += [{"id": name} | told | row for row in rows]
    return tuple(pd.DataFrame(rows).astype({"seeds": "Int64"}) for rows in (lines, measured))


def _told(claim: Claim) -> dict[str, Any]:
    """Return the cells that say what the paper claims."""
    numbers = [paper_number(name) for name in claim.paper.ids]
    return {
        "paper": numbers[0].paper,
        "arxiv": numbers[0].arxiv,
        "claim": claim.claim,
        "paper_number": published(claim),
        "paper_column": claim.paper.column,
        "paper_values": " ".join(f"{published_cell(number, claim.paper.column):g}" for number in numbers),
        "paper_ids": " ".join(claim.paper.ids),
        "grade": " ".join(dict.fromkeys(number.grade for number in numbers)),
    }


def _measurements(
    claim: Claim, tables: Mapping[Path, pd.DataFrame], root: str | Path
) -> list[dict[str, Any]]:
    """Return a row per measurement; a single one with the reason where there is none."""
    rows, reasons = [], []
    for selector in claim.selectors:
        found, reason = evidence(selector, tables, root)
        reasons += [reason] if reason else []
        rows += [_row(claim, selector.neutral, each) for each in found]
    if rows:
        return rows
    why = f"it needs {claim.needs}" if claim.needs else "; ".join(dict.fromkeys(reasons))
    return [_row(claim, None, Evidence(quantity="", value=None, missing=why))]


def _row(claim: Claim, neutral: float | None, found: Evidence) -> dict[str, Any]:
    cells = dataclasses.asdict(found)
    side, limit = bound(claim, neutral) if found.value is not None else (0, None)
    words = {1: "above", -1: "below"} if claim.rule == "order" else {1: "at least", -1: "at most"}
    asked = words.get(side)
    return {
        "rule": claim.rule,
        "quantity": cells["quantity"] or None,
        "measured": cells["value"],
        **{key: cells[key] for key in ("low", "high", "interval")},
        "claimed": asked and f"{asked} {limit:.4g}",
        "verdict": judge(claim, neutral, found),
        **{key: cells[key] for key in ("seeds", "experiment", "device", "precision", "commit")},
        "file": cells["file"] or None,
    }


def write_page(path: str | Path, lines: pd.DataFrame, measured: pd.DataFrame) -> None:
    """Write the page of claims: the count of verdicts, the rule, a table per paper, and all measurements."""
    counts = Counter(verdict.split(" (")[0] for verdict in lines["verdict"])
    told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    parts = ["# What the papers claim, and what was measured here", f"{len(lines)} claims: {told}."]
    parts.append("\n".join(f"- {sentence}" for sentence in RULE))
    for (paper, arxiv), rows in lines.groupby(["paper", "arxiv"], sort=False):
        parts += [f"## {paper} (arXiv:{arxiv})", _claims(rows)]
    parts += ["## Every measurement", _measured(measured[measured["measured"].notna()])]
    with atomic_path(path) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n")


def _claims(rows: pd.DataFrame) -> str:
    header = ("claim", "paper (grade)", "quantity", "here", "claimed", "seeds", "device", "verdict")
    return _markdown(
        (*header, "decided", "file"),
        [
            (row["claim"], _paper(row), row["quantity"], _number(row), row["claimed"], row["seeds"])
            + (row["device"], f"**{row['verdict']}**", _decided(row), row["file"] and f"`{row['file']}`")
            for row in rows.astype(object).where(rows.notna(), None).to_dict("records")
        ],
    )


def _measured(rows: pd.DataFrame) -> str:
    header = ("id", "quantity", "experiment", "here", "claimed", "seeds", "device", "commit", "verdict")
    return _markdown(
        (*header, "file"),
        [
            (f"`{row['id']}`", row["quantity"], row["experiment"], _number(row), row["claimed"])
            + (row["seeds"], row["device"], row["commit"], row["verdict"], f"`{row['file']}`")
            for row in rows.astype(object).where(rows.notna(), None).to_dict("records")
        ],
    )


def _paper(row: Mapping[str, Any]) -> str:
    """Return the paper's number, what it is made of, and how sure it is."""
    values = row["paper_values"].split()
    made = f" from {' and '.join(values)}" if len(values) > 1 else ""
    return f"{row['paper_column']} {row['paper_number']:.4g}{made} ({row['grade']})"


def _decided(row: Mapping[str, Any]) -> str | None:
    """Return how many measurements decide the claim; nothing where nothing was measured."""
    return None if row["measured"] is None else f"{row['decided']} of {row['measurements']}"


def _number(row: Mapping[str, Any]) -> str | None:
    """Return our number with its interval: a count has none, and of others it may be missing."""
    if row["measured"] is None:
        return None
    text = f"{row['measured']:.3g}"
    if row["low"] is None or row["low"] == row["high"]:
        return text
    return f"{text} [{row['low']:.3g}, {row['high']:.3g}]"


def _markdown(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Return a table; a bar inside a cell would end it, and an empty cell is a dash."""
    texts = [["–" if cell is None else str(cell).replace("|", "/") for cell in row] for row in rows]
    lines = [list(header), ["---"] * len(header), *texts]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
