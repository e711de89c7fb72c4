"""The page of claims: the count of verdicts, the rule, a table per paper, and every measurement."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nfbench.report.cells import FEWEST_SEEDS

RULE = (
    "Every claim says that a quantity lies on one side of a bound. Rule `order`: on the side of equality"
    " where the paper's numbers lie (a difference against 0, a ratio or a speed-up against 1). Rules"
    " `at_least` and `at_most`: of a share of the paper's number, or of a bound of ours.",
    "`reproduced`: the whole interval of our quantity lies on the claimed side; `contradicted`: the whole"
    " interval lies on the other; else `not resolved`. Intervals over seeds are Student's t at 95%, those of"
    " differences over pairs of equal seed, so that the rule is the paired t-test at 5%, two-sided; those of"
    " timings are over pairs of processes. No correction is made for the number of claims or measurements.",
    f"`not resolved (why)` also for fewer than {FEWEST_SEEDS} seeds, for a quantity without an interval, for"
    " features that a loss has seen or of too few images, for a busy machine, and for a number of the paper's"
    " that is marked CHECK. `not measured (why)` where no experiment has the rows.",
    "A claim has one line. Measurements that are `reproduced` or `contradicted` are decided. The claim's"
    " verdict is theirs where they agree, and `not resolved` where they do not; how many of all are decided"
    " stands beside. The quantity shown is the first decided one, or else the first. All are below, and in"
    " claims_evidence.csv.",
    "Origin: `this run`, or the folder of a committed reference, perhaps of another version and machine.",
    "Grades of the paper's numbers: `P` is read in the primary text or code, `S` second-hand, `CHECK`"
    " doubtful. Whether BiFlow's exact inverse is denoised is not known to us, so claims against it are"
    " judged both ways, and one of the two need not be the paper's. Guidance is judged at scale 1, untuned.",
)
CLAIMS = (
    "claim",
    "paper (grade)",
    "quantity",
    "here",
    "claimed",
    "seeds",
    "origin",
    "device",
    "verdict",
    "decided",
)
MEASURED = (
    "id",
    "quantity",
    "origin",
    "experiment",
    "here",
    "claimed",
    "seeds",
    "device",
    "commit",
    "verdict",
)


def counted(lines: pd.DataFrame) -> str:
    """Return how many claims have each verdict, e.g. "2 reproduced, 1 not resolved"."""
    counts = Counter(verdict.split(" (")[0] for verdict in lines["verdict"])
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def page(lines: pd.DataFrame, evidence: pd.DataFrame) -> str:
    """Return the page as Markdown.

    Args:
        lines, evidence: of `nfbench.report.claims.evaluate`.
    """
    parts = ["# What the papers claim, and what was measured here", f"{len(lines)} claims: {counted(lines)}."]
    parts.append("\n".join(f"- {sentence}" for sentence in RULE))
    for (paper, arxiv), rows in lines.groupby(["paper", "arxiv"], sort=False):
        parts += [f"## {paper} (arXiv:{arxiv})", _table(rows, CLAIMS)]
    parts += ["## Every measurement", _table(evidence[evidence["measured"].notna()], MEASURED)]
    return "\n\n".join(parts) + "\n"


def _table(rows: pd.DataFrame, columns: tuple[str, ...]) -> str:
    plain = rows.astype(object).where(rows.notna(), None).to_dict("records")
    cells = [{name: _cell(row, name) for name in columns} for row in plain]
    return pd.DataFrame(cells, columns=list(columns)).to_markdown(index=False, disable_numparse=True)


def _cell(row: Mapping[str, Any], name: str) -> str:
    if name == "here":
        text = _number(row)
    elif name == "paper (grade)":
        values = row["paper_values"].split()
        made = f" from {' and '.join(values)}" if len(values) > 1 else ""
        text = f"{row['paper_column']} {row['paper_number']:.4g}{made} ({row['grade']})"
    elif name == "decided":
        text = None if row["measured"] is None else f"{row['decided']} of {row['measurements']}"
    elif name == "verdict" and "decided" in row:
        text = f"**{row[name]}**"
    else:
        text = f"`{row[name]}`" if name == "id" else row[name]
    return "–" if text in (None, "") else str(text).replace("|", "/")


def _number(row: Mapping[str, Any]) -> str | None:
    """Return our number with its interval: a count has none, and of others it may be missing."""
    if row["measured"] is None:
        return None
    text = f"{row['measured']:.3g}"
    if row["low"] is None or row["low"] == row["high"]:
        return text
    return f"{text} [{row['low']:.3g}, {row['high']:.3g}]"
