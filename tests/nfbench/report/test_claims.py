"""Claims: the file, the rule of the verdicts with its exceptions, and the page."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from nfbench.errors import UserError
from nfbench.report.claim_specs import read_claims
from nfbench.report.claims import evaluate, overall
from nfbench.report.claims_page import page
from tests.nfbench.report.rows import difference, experiment, frame, quality, sampler, summary, times

ROOT = Path(__file__).resolve().parents[3]
ALIGNMENT = "biflow-b-2-160-epochs-hidden-alignment-imagenet256"
NAIVE = "biflow-b-2-160-epochs-naive-distillation-imagenet256"
DOUBTFUL = "biflow-b-2-distance-mse-lpips-convnext-imagenet256"
SPEED_UP = "gs-jacobi-4-1024-8-8-0-15-gs-jacobi-6-8-32-10-imagenet128"  # 4.53
FD = [{"metric": "fd", "space": "effnet"}]
TIME = [{"metric": "ms_per_image", "batch_size": 1, "guidance": 0}]
LOWER = {
    "claim": "One is below the other.",
    "paper": {"column": "fid", "difference": [ALIGNMENT, NAIVE]},
    "rule": "order",
    "measured": [{"difference": ["a", "b"], "of": FD}],
}
FASTER = {
    "claim": "One is faster.",
    "paper": {"column": "speedup", "number": SPEED_UP},
    "rule": "at_least",
    "share": 0.5,
    "measured": [{"ratio": ["b", "a"], "of": TIME}],
}
BOTH = experiment(sampler("a"), sampler("b"))
HIGH = [10.0, 11.0, 12.0]


def read(tmp_path, **claims):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": claims}))
    return read_claims(path)


def verdict(tmp_path, claim: dict, *rows) -> str:
    lines, _ = evaluate(read(tmp_path, made=claim), frame(*rows), BOTH)
    return lines.loc[0, "verdict"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, 2.0, 3.5], "reproduced"),
        ([21.0, 22.5, 23.0], "contradicted"),
        ([5.0, 20.0, 12.0], "not resolved"),
        ([1.0, 2.0], "not resolved (2 seeds)"),
        ([1.0, None, 3.0], "not measured (no pair of seeds)"),
    ],
)
def test_an_order_is_decided_by_the_whole_interval_of_paired_differences(tmp_path, values, words):
    assert verdict(tmp_path, LOWER, *quality("a", values), *quality("b", HIGH[: len(values)])) == words


def test_differences_kept_by_an_older_version_give_the_same_verdict(tmp_path):
    low = [1.0, 2.0, 3.5]
    rows = (summary("a", low), summary("b", HIGH), difference("b", "a", HIGH, low))
    old, new = (
        evaluate(read(tmp_path, made=LOWER), frame(*made), BOTH)[1].iloc[0]
        for made in (rows, (*quality("a", low), *quality("b", HIGH)))
    )
    assert (old["verdict"], old["seeds"]) == (new["verdict"], new["seeds"]) == ("reproduced", 3)
    assert list(old[["measured", "low", "high"]]) == pytest.approx(list(new[["measured", "low", "high"]]))


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("seen_by_loss", "a loss has seen these features"),
        ("rank_deficient", "too few images for this many features"),
    ],
)
def test_a_flag_leaves_a_claim_unresolved(tmp_path, flag, reason):
    rows = [*quality("a", [1.0, 2.0, 3.5], flag=flag), *quality("b", HIGH)]
    assert verdict(tmp_path, LOWER, *rows) == f"not resolved ({reason})"


@pytest.mark.parametrize(
    ("slow", "words"),
    [
        ([5.0, 5.2, 5.1], "reproduced"),
        ([1.0, 1.1, 1.05], "contradicted"),
        ([1.0, 5.0, 9.0], "not resolved"),
        ([5.0], "not resolved (no interval)"),
    ],
)
def test_a_speed_up_is_a_ratio_over_pairs_of_processes(tmp_path, slow, words):
    assert verdict(tmp_path, FASTER, *times("a", [1.0] * len(slow)), *times("b", slow)) == words


def test_a_busy_machine_and_another_device_leave_it_unresolved(tmp_path):
    fast = times("a", [1.0, 1.0])
    assert (
        verdict(tmp_path, FASTER, *fast, *times("b", [9.0, 9.0], flag="busy"))
        == "not resolved (the machine was busy)"
    )
    other = times("b", [9.0, 9.0], device="gpu")
    assert verdict(tmp_path, FASTER, *fast, *other) == "not resolved (the two rows differ in device)"


def test_a_ratio_of_distances_has_an_interval_over_seeds(tmp_path):
    claim = FASTER | {
        "rule": "at_most",
        "share": None,
        "bound": 1.05,
        "measured": [{"ratio": ["a", "b"], "of": FD}],
    }
    assert (
        verdict(tmp_path, claim, *quality("a", [1.0, 1.01, 1.02]), *quality("b", [2.0, 2.01, 2.02]))
        == "reproduced"
    )
    assert verdict(tmp_path, claim, *quality("a", [1.0]), *quality("b", [2.0])) == "not resolved (1 seed)"


def test_a_count_is_decided_without_an_interval_and_the_bound_counts(tmp_path):
    claim = FASTER | {
        "rule": "at_most",
        "share": None,
        "bound": 1,
        "measured": [{"value": "a", "of": [{"metric": "nfe"}], "exact": True}],
    }
    assert verdict(tmp_path, claim, *quality("a", [1.0], "nfe", "")) == "reproduced"
    assert verdict(tmp_path, claim, *quality("a", [2.0], "nfe", "")) == "contradicted"


def test_what_is_not_there_is_told_with_what_it_needs(tmp_path):
    assert verdict(tmp_path, LOWER, *quality("a", HIGH)) == "not measured (no experiment has a minus b)"
    assert (
        verdict(tmp_path, LOWER | {"needs": "a GPU"}, *quality("a", HIGH)) == "not measured (it needs a GPU)"
    )
    only = LOWER | {"measured": [LOWER["measured"][0] | {"experiments": ["other"]}]}
    assert verdict(tmp_path, only, *quality("a", HIGH), *quality("b", HIGH)).startswith("not measured")


def test_a_doubtful_number_decides_nothing(tmp_path):
    claim = LOWER | {"paper": {"column": "fid", "difference": [DOUBTFUL, NAIVE]}}
    found = verdict(tmp_path, claim, *quality("a", [1.0, 2.0, 3.5]), *quality("b", HIGH))
    assert found == f"not resolved (CHECK the paper's number {DOUBTFUL})"


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        (["reproduced", "not resolved"], "reproduced"),
        (
            ["reproduced", "contradicted", "reproduced"],
            "not resolved (measurements disagree: 2 reproduced, 1 contradicted)",
        ),
        (["not measured (x)", "not resolved (y)"], "not resolved (y)"),
        (["not measured (x)"], "not measured (x)"),
    ],
)
def test_a_claim_is_decided_where_its_measurements_agree(verdicts, words):
    assert overall(verdicts) == words


def test_the_page_has_every_claim_and_tells_origins_apart(tmp_path):
    rows = frame(*quality("a", [1.0, 2.0, 3.5]), *quality("b", HIGH))
    reference = rows.assign(origin="reference made-cpu")
    both = BOTH | {("reference made-cpu", "made"): next(iter(BOTH.values()))}
    lines, measured = evaluate(read(tmp_path, low=LOWER, fast=FASTER), pd.concat([rows, reference]), both)
    assert list(measured[measured["id"] == "low"]["origin"]) == ["this run", "reference made-cpu"]
    text = page(lines, measured)
    assert "2 claims: 1 not measured, 1 reproduced." in text
    assert "reference made-cpu" in text
    assert "**reproduced**" in text
    assert "2 of 2" in text


def test_the_committed_claims_are_read():
    claims = read_claims(ROOT / "config/claims.yaml")
    assert len(claims) == 40
    assert all(claim.measured or claim.needs for claim in claims.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rul": "order"}, "unknown key 'rul'"),
        ({"share": 1.0}, "takes neither 'share' nor 'bound'"),
        ({"rule": "at_least"}, "takes either 'share' or 'bound'"),
        ({"measured": []}, "says neither where it is 'measured'"),
        ({"measured": [{"value": "a", "of": FD}]}, "no single 'value' has"),
        ({"measured": [{"ratio": ["a"], "of": FD}]}, "must compare two rows"),
        (
            {"measured": [{"ratio": ["a", "b"], "of": [{"metric": "fdd"}]}]},
            "no metric 'fdd'; did you mean 'fd'",
        ),
        ({"paper": {"column": "fid", "number": ALIGNMENT}}, "no single 'fid' has"),
        ({"paper": {"column": "fid", "difference": [ALIGNMENT, ALIGNMENT]}}, "the paper's numbers are equal"),
        ({"paper": {"column": "speedup", "number": ALIGNMENT}}, "wants 'speedup' of"),
        (
            {"paper": {"column": "fid", "number": "x", "ratio": ["x", "y"]}},
            "by one of 'number', 'difference'",
        ),
    ],
)
def test_a_claim_that_cannot_be_evaluated_is_refused(tmp_path, change, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, made=LOWER | change)
