"""The rule by which measurements decide published claims.

A claim says that a quantity lies on one side of a bound. It is "reproduced" where the quantity's whole
interval lies on that side, "contradicted" where the whole interval lies on the other, else "not resolved".
`nfbench.report.claims_page.RULE` states the exceptions.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.files import atomic_path
from nfbench.measurements import METRICS
from nfbench.report.cells import FEWEST_SEEDS, NOT_COMPARED, Cell, Cells, Key, distinct
from nfbench.report.claim_specs import Claim, Quantity, Selector, published_cell, read_claims
from nfbench.report.claims_page import page
from nfbench.report.derived import with_derived
from nfbench.report.paper_numbers import paper_number
from nfbench.stats import student_interval

DECIDED = ("reproduced", "contradicted")


def evidence(selector: Selector, cells: Cells) -> Iterator[dict[str, Any]]:
    """Yield what every experiment that has the rows has measured, as columns of claims_evidence.csv.

    `measured` is None where it was not measured; `missing` then says why. `why_not` says why no verdict may
    be drawn from it, or nothing.
    """
    for key, of in itertools.product(cells.keys, selector.of):
        if selector.experiments and key[1] not in selector.experiments:
            continue
        found = [cells.cell(key, name, of.metric, **of.where) for name in selector.rows]
        if all(cell.records for cell in found):
            texts = {"file": "source"} | {name: name for name in ("device", "precision", "commit")}
            about = {n: distinct((c.about(column) for c in found), "; ") for n, column in texts.items()}
            about |= {"origin": key[0], "experiment": key[1]}
            about["quantity"] = f"{of.in_words()}, {selector.in_words()}"
            yield NOTHING | about | _estimate(selector, of, key, found, cells)


NOTHING = dict.fromkeys(
    ("quantity", "measured", "low", "high", "interval", "seeds", "origin", "experiment", "device")
    + ("precision", "commit", "file", "why_not", "missing")
)


def _estimate(
    selector: Selector, of: Quantity, key: Key, found: Sequence[Cell], cells: Cells
) -> dict[str, Any]:
    """Return a quantity with its interval, seeds, and why it is not compared."""
    flags = {cell.flag for cell in found}
    why_not = next((text for flag, text in NOT_COMPARED.items() if flag in flags), "")
    values = [cell.value for cell in found]
    if selector.difference:
        pairs = cells.difference(key, *selector.rows, of.metric, **of.where)
        return (
            _with_seeds(pairs.mean, pairs.std, pairs.n, why_not) if pairs else {"missing": "no pair of seeds"}
        )
    if None in values or not values[-1]:
        return {"missing": ", ".join(sorted(flags - {""})) or "the cell is empty"}
    value, seeds = values[0] / values[1] if selector.ratio else values[0], {len(cell.seeds) for cell in found}
    if selector.exact:
        kind = "a count, without spread"
        return {
            "measured": value,
            "low": value,
            "high": value,
            "interval": kind,
            "seeds": seeds.pop() or None,
        }
    columns = ("device", "n") if of.space else ("device",)
    if differ := [c for c in columns if len({record[c] for cell in found for record in cell.records}) > 1]:
        why_not = why_not or f"the two rows differ in {differ[0]}"
    if of.metric in METRICS and METRICS[of.metric].geometric:
        pairs = cells.time_ratio(key, *selector.rows, of.metric, **of.where) if selector.ratio else None
        ends = (pairs.low, pairs.high) if pairs else found[0].over_samples or (None, None)
        kind = None if ends[0] is None else "95% over processes"
        about = {"measured": pairs.mean if pairs else value, "interval": kind, "why_not": why_not}
        return about | {"low": ends[0], "high": ends[1]} if pairs or not selector.ratio else about
    if len(seeds) > 1:
        return {"measured": value, "why_not": why_not or "the two rows differ in seeds"}
    stds = [cell.std for cell in found]
    relative = None if None in stds else math.hypot(*(std / v for std, v in zip(stds, values, strict=True)))
    std = None if relative is None else abs(value) * relative  # to first order, as if of independent rows
    return _with_seeds(value, std, seeds.pop(), why_not)


def _with_seeds(value: float, std: float | None, seeds: int, why_not: str) -> dict[str, Any]:
    """Return a mean over seeds with its interval."""
    found = {"measured": value, "seeds": seeds}
    if seeds < FEWEST_SEEDS:
        why_not = why_not or f"{seeds} seed{'' if seeds == 1 else 's'}"
    if std is not None and seeds > 1:
        ends = student_interval(value, std / math.sqrt(seeds), seeds - 1)
        found |= {"low": ends.low, "high": ends.high, "interval": "95% over seeds (t)"}
    return found | {"why_not": why_not}


def verdict_of(claim: Claim, neutral: float | None, found: Mapping[str, Any]) -> str:
    """Return the verdict that one measurement allows; see the top of this file.

    Args:
        found: of `evidence`.
    """
    if found["measured"] is None:
        return f"not measured ({found['missing']})"
    if doubtful := [name for name in claim.paper.ids if paper_number(name).grade == "CHECK"]:
        return f"not resolved (CHECK the paper's number {doubtful[0]})"
    if found["why_not"]:
        return f"not resolved ({found['why_not']})"
    if found["low"] is None:
        return "not resolved (no interval)"
    side, limit = claim.limit(neutral)
    low, high = sorted(side * (found[end] - limit) for end in ("low", "high"))
    if low > 0 or (low == 0 and claim.rule != "order"):  # "at least" and "at most" take the bound itself in
        return "reproduced"
    return "contradicted" if high < 0 else "not resolved"


def overall(verdicts: Sequence[str]) -> str:
    """Return a claim's one verdict from those of its measurements."""
    counts = Counter(verdict for verdict in verdicts if verdict in DECIDED)
    if len(counts) == 1:
        return next(iter(counts))
    if counts:
        return (
            f"not resolved (measurements disagree: {', '.join(f'{counts[name]} {name}' for name in DECIDED)})"
        )
    return next((verdict for verdict in verdicts if verdict.startswith("not resolved")), verdicts[0])


def evaluate(
    claims: Mapping[str, Claim], measurements: pd.DataFrame, experiments: Mapping[Key, Mapping[str, Any]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the claims, a line each, and all that was measured of them, a line a measurement."""
    cells = with_derived(measurements, experiments)
    lines, every = [], []
    for name, claim in claims.items():
        rows = [
            _line(claim, selector.neutral, found)
            for selector in claim.measured
            for found in evidence(selector, cells)
        ]
        if not rows:
            wanted = dict.fromkeys(selector.in_words() for selector in claim.measured)
            why = f"it needs {claim.needs}" if claim.needs else f"no experiment has {'; '.join(wanted)}"
            rows = [_line(claim, None, NOTHING | {"missing": why})]
        shown = next((row for row in rows if row["verdict"] in DECIDED), None)
        shown = shown or next((row for row in rows if row["measured"] is not None), rows[0])
        verdicts = [row["verdict"] for row in rows]
        count = {"decided": sum(verdict in DECIDED for verdict in verdicts), "measurements": len(rows)}
        lines.append({"id": name} | _published(claim) | shown | {"verdict": overall(verdicts)} | count)
        every += [{"id": name} | _published(claim) | row for row in rows]
    return tuple(pd.DataFrame(rows).astype({"seeds": "Int64"}) for rows in (lines, every))


def write_claims(
    claims: str | Path,
    measurements: pd.DataFrame,
    experiments: Mapping[Key, Mapping[str, Any]],
    folder: str | Path,
) -> pd.DataFrame:
    """Evaluate the claims of a file and return them; write claims.csv, claims_evidence.csv, claims.md."""
    lines, every = evaluate(read_claims(claims), measurements, experiments)
    for name, frame in (("claims", lines), ("claims_evidence", every)):
        with atomic_path(Path(folder, f"{name}.csv")) as temporary:
            frame.to_csv(temporary, index=False)
    with atomic_path(Path(folder, "claims.md")) as temporary:
        temporary.write_text(page(lines, every))
    return lines


def _published(claim: Claim) -> dict[str, Any]:
    """Return the cells that say what the paper claims."""
    numbers = [paper_number(name) for name in claim.paper.ids]
    return {
        "paper": numbers[0].paper,
        "arxiv": numbers[0].arxiv,
        "claim": claim.claim,
        "paper_number": claim.paper.published(),
        "paper_column": claim.paper.column,
        "paper_values": " ".join(f"{published_cell(number, claim.paper.column):g}" for number in numbers),
        "paper_ids": " ".join(claim.paper.ids),
        "grade": " ".join(dict.fromkeys(number.grade for number in numbers)),
    }


def _line(claim: Claim, neutral: float | None, found: Mapping[str, Any]) -> dict[str, Any]:
    words = {1: "above", -1: "below"} if claim.rule == "order" else {1: "at least", -1: "at most"}
    side, limit = claim.limit(neutral) if found["measured"] is not None else (0, 0.0)
    rule = {"rule": claim.rule, "claimed": f"{words[side]} {limit:.4g}" if side else None}
    shown = {name: value for name, value in found.items() if name not in ("why_not", "missing")}
    return shown | rule | {"verdict": verdict_of(claim, neutral, found)}
