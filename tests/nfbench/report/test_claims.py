"""Claims: the file, the rule of the verdicts, and the page."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from nfbench.errors import UserError
from nfbench.report.claims import judge, overall, published, read_claims
from nfbench.report.claims_table import claims_tables, write_page
from nfbench.report.evidence import Evidence
from nfbench.report.paper_numbers import paper_number

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/claims.schema.yaml").read_text())
ALIGNMENT = "biflow-b-2-160-epochs-hidden-alignment-imagenet256"
NAIVE = "biflow-b-2-160-epochs-naive-distillation-imagenet256"
DOUBTFUL = "biflow-b-2-distance-mse-lpips-convnext-imagenet256"
SPEED_UP = "gs-jacobi-4-1024-8-8-0-15-gs-jacobi-6-8-32-10-imagenet128"
ORDER = {
    "claim": "One is below the other.",
    "paper": {"column": "fid", "difference": [ALIGNMENT, NAIVE]},
    "rule": "order",
    "measured": [{"table": "table2_verdicts.csv", "paired": ["biflow", "biflow-naive"]}],
}
FASTER = {
    "claim": "One is faster.",
    "paper": {"column": "speedup", "number": SPEED_UP},
    "rule": "at_least",
    "share": 0.5,
    "measured": [
        {"table": "table1.csv", "column": "speed", "ratio": [{"sampler": "a"}, {"sampler": "b"}]},
    ],
}


def read(tmp_path, **claims):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": claims}, sort_keys=False))
    return read_claims(path, SCHEMA)


def found(low, high, **changes):
    return Evidence("a quantity", (low + high) / 2, **({"low": low, "high": high, "seeds": 3} | changes))


def test_the_repository_s_claims_are_well_formed_and_name_all_three_papers():
    claims = read_claims(ROOT / "config/claims.yaml", SCHEMA)
    papers = [paper_number(claim.paper.ids[0]).paper for claim in claims.values()]
    assert {"BiFlow", "GS-Jacobi", "SeJD"} == set(papers)
    assert len(claims) >= 15


def test_published_numbers_come_from_their_file(tmp_path):
    claims = read(tmp_path, order=ORDER, faster=FASTER)
    assert published(claims["order"]) == paper_number(ALIGNMENT).fid - paper_number(NAIVE).fid < 0
    assert published(claims["faster"]) == paper_number(SPEED_UP).speedup


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (found(-3, -1), "reproduced"),
        (found(1, 3), "contradicted"),
        (found(-3, 1), "not resolved"),
        (found(-3, -1, objection="2 seeds"), "not resolved (2 seeds)"),
        (Evidence("a quantity", -2.0, seeds=3), "not resolved (no interval)"),
        (Evidence("", None, missing="the cell is empty"), "not measured (the cell is empty)"),
    ],
)
def test_an_order_is_judged_by_the_side_that_the_whole_interval_lies_on(tmp_path, evidence, verdict):
    claim = read(tmp_path, order=ORDER)["order"]
    assert judge(claim, 0.0, evidence) == verdict


def test_a_share_of_the_paper_s_number_is_a_bound_that_itself_counts(tmp_path):
    claim = read(tmp_path, faster=FASTER)["faster"]
    half = paper_number(SPEED_UP).speedup / 2
    assert judge(claim, 1.0, found(half, 2 * half)) == "reproduced"
    assert judge(claim, 1.0, found(0.5 * half, 0.9 * half)) == "contradicted"
    assert judge(claim, 1.0, found(0.9 * half, 1.1 * half)) == "not resolved"
    most = read(tmp_path, most=FASTER | {"rule": "at_most"})["most"]
    assert judge(most, 1.0, found(0.5 * half, half)) == "reproduced"


def test_a_doubtful_number_gives_no_verdict(tmp_path):
    paper = {"column": "fid", "difference": [DOUBTFUL, NAIVE]}
    claim = read(tmp_path, doubtful=ORDER | {"paper": paper})["doubtful"]
    assert judge(claim, 0.0, found(-3, -1)) == f"not resolved (CHECK the paper's number {DOUBTFUL})"


def test_measurements_that_disagree_resolve_nothing():
    assert overall(["not resolved", "reproduced", "reproduced"]) == "reproduced"
    assert overall(["not measured (x)", "not resolved (1 seed)"]) == "not resolved (1 seed)"
    disagree = "not resolved (measurements disagree: 1 reproduced, 1 contradicted)"
    assert overall(["reproduced", "contradicted"]) == disagree


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"paper": {"column": "fid", "difference": [ALIGNMENT, "biflow-nave"]}}, "did you mean"),
        ({"paper": {"column": "fid", "number": ALIGNMENT}}, "no single 'fid' has; take"),
        ({"paper": {"column": "speedup", "difference": [ALIGNMENT, NAIVE]}}, "which is empty, no number"),
        ({"paper": {"column": "colour", "difference": [ALIGNMENT, NAIVE]}}, "wants 'colour'"),
        ({"paper": {"column": "fid"}}, "must name its paper's numbers"),
        ({"paper": {"column": "fid", "difference": [NAIVE, NAIVE]}}, "the paper's numbers are equal"),
        ({"rule": "at_least"}, "takes either 'share' or 'bound'"),
        ({"bound": 1.0}, "takes neither 'share' nor 'bound'"),
        ({"measured": []}, "says neither where it is 'measured' nor what that 'needs'"),
        ({"measured": [{"table": "table1.csv", "column": "nfe"}]}, "by one of 'paired', 'ratio' and 'value'"),
        (
            {"measured": [{"table": "table1.csv", "column": "nfe", "value": {"sampler": "a"}}]},
            "no single 'value'",
        ),
        ({"measured": [{"table": "table1.csv", "ratio": [{"sampler": "a"}] * 2}]}, "names no 'column'"),
        ({"rul": "order"}, "did you mean 'rule'?"),
    ],
)
def test_a_malformed_claim_is_refused_in_a_sentence_that_names_it(tmp_path, changes, sentence):
    with pytest.raises(UserError, match="order") as error:
        read(tmp_path, order=ORDER | changes)
    assert sentence in str(error.value)
    assert str(error.value).endswith((".", "?"))


def table1(speed):
    row = {"experiment": "toy", "notes": None, "device": "a device", "seeds": "0", "commit": "abc"}
    rows = [row | {"sampler": "a", "speed": speed}, row | {"sampler": "b", "speed": 10.0}]
    return pd.DataFrame(rows).assign(
        speed_low=lambda t: t["speed"] * 0.9, speed_high=lambda t: t["speed"] * 1.1
    )


def test_every_claim_has_one_line_and_every_measurement_one_with_its_file(tmp_path):
    claims = read(tmp_path, order=ORDER, faster=FASTER, never=ORDER | {"measured": [], "needs": "a GPU"})
    tables = {Path("r/table1.csv"): table1(50.0), Path("r/reference/toy-cpu/table1.csv"): table1(5.0)}
    lines, measured = claims_tables(claims, tables, "r")
    assert lines["id"].tolist() == ["order", "faster", "never"]
    assert lines["verdict"].tolist() == [
        "not measured (there is no table2_verdicts.csv)",
        "not resolved (measurements disagree: 1 reproduced, 1 contradicted)",
        "not measured (it needs a GPU)",
    ]
    rows = measured[measured["id"] == "faster"]
    assert rows["file"].tolist() == ["table1.csv", "reference/toy-cpu/table1.csv"]
    assert rows["verdict"].tolist() == ["reproduced", "contradicted"]
    assert rows["measured"].tolist() == [5.0, 0.5]
    assert lines.loc[0, ["measured", "low", "seeds", "file"]].isna().all()


def test_the_page_counts_the_verdicts_states_the_rule_and_leaves_no_cell_empty(tmp_path):
    claims = read(tmp_path, order=ORDER, faster=FASTER)
    write_page(tmp_path / "claims.md", *claims_tables(claims, {Path("table1.csv"): table1(50.0)}))
    text = (tmp_path / "claims.md").read_text()
    assert "2 claims: 1 not measured, 1 reproduced." in text
    assert "## BiFlow (arXiv:2512.10953)" in text
    row = next(line for line in text.splitlines() if line.startswith("| One is faster. | speedup 4.53 (P) |"))
    assert "| 5 [4.09, 6.11] | at least 2.265 | 1 | a device | **reproduced** | 1 of 1 |" in row
    assert "|  |" not in text
    assert "nan" not in text
    assert "<NA>" not in text
