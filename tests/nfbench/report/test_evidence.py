"""What claims are judged by: quantities with intervals, out of made-up tables."""

from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from nfbench.errors import UserError
from nfbench.measure.ratios import ratio_table
from nfbench.report.comparisons import compare
from nfbench.report.evidence import Selector, evidence
from nfbench.report.evidence_tables import read_tables
from nfbench.report.seed_intervals import t_interval

ORIGIN = {"device": "a device", "precision": "fp32", "commit": "12345678901e2"}


def verdicts(first="biflow", second="naive", values=(-3.0, -2.0, -4.0), verdict="holds"):
    found = compare(values, [0.0] * len(values))
    row = {"first": first, "second": second, "paper_difference": -6.0, "measure": "kid_effnet"}
    row |= {"difference": found.mean, "difference_std": found.std, "p": found.p, "seeds": found.seeds}
    return pd.DataFrame([row | {"verdict": verdict}])


def table1(**changes):
    row = {"experiment": "toy", "sampler": "biflow", "variant": None, "speed": 400.0, "nfe": 1.0}
    row |= {"fd": 10.0, "fd_std": 1.0, "n_samples": 500, "seeds": "0 1 2", "notes": None} | ORIGIN
    other = row | {"sampler": "exact", "speed": 100.0, "fd": 20.0, "nfe": 48.0}
    return pd.DataFrame([row | changes, other])


def only(selector, rows, path="results/table1.csv"):
    found, reason = evidence(Selector(**selector), {Path(path): rows})
    assert (len(found), reason) == (1, "")
    return found[0]


RATIO = {"table": "table1.csv", "column": "speed", "ratio": [{"sampler": "biflow"}, {"sampler": "exact"}]}
PAIRED = {"table": "table2_verdicts.csv", "paired": ["biflow", "naive"]}


@pytest.mark.parametrize("values", [(-3.0, -2.0, -4.0), (-3.0, 2.0, -4.0), (1.0, 1.1, 0.2, 0.9)])
def test_an_interval_over_seeds_leaves_out_0_exactly_where_the_paired_test_is_significant(values):
    found = compare(values, [0.0] * len(values))
    low, high = t_interval(found.mean, found.std, found.seeds)
    assert (low > 0 or high < 0) == (found.p < 0.05)
    known = stats.t.interval(0.95, len(values) - 1, found.mean, found.std / len(values) ** 0.5)
    assert (low, high) == pytest.approx(known)


def test_a_paired_difference_turns_with_its_order():
    path = "results/table2_verdicts.csv"
    found = only(PAIRED, verdicts(), path)
    turned = only(PAIRED, verdicts("naive", "biflow", (3.0, 2.0, 4.0)), path)
    assert found.value == turned.value == -3
    assert (found.low, found.high) == pytest.approx((turned.low, turned.high))
    assert (found.seeds, found.objection) == (3, "")


def test_two_seeds_are_too_few_and_features_that_a_loss_has_seen_judge_nothing():
    path = "results/table2_verdicts.csv"
    assert only(PAIRED, verdicts(values=(-3.0, -2.0)), path).objection == "2 seeds"
    seen = verdicts(verdict="no verdict: the loss of biflow has seen these features")
    assert only(PAIRED, seen, path).objection == "the loss of biflow has seen these features"


def test_the_table_beside_the_verdicts_says_where_they_were_measured():
    rows = pd.DataFrame(
        [{"experiment": "toy", "sampler": s, "variant": None} | ORIGIN for s in ("biflow", "naive")]
    )
    tables = {Path("r/table2_verdicts.csv"): verdicts(), Path("r/table2.csv"): rows}
    found, _ = evidence(Selector(**PAIRED), tables)
    assert (found[0].experiment, found[0].device) == ("toy", "a device")
    as_read = rows.assign(variant=float("nan"))  # what an empty column is after reading a CSV
    found, _ = evidence(Selector(**PAIRED), tables | {Path("r/table2.csv"): as_read})
    assert found[0].device == "a device"
    found, _ = evidence(Selector(**PAIRED), {Path("r/toy-ablations-h100/table2_verdicts.csv"): verdicts()})
    assert (found[0].experiment, found[0].device) == ("toy-ablations", None)


def test_a_ratio_of_cells_has_the_spread_of_both():
    found = only(RATIO | {"column": "fd"}, table1())
    assert found.value == 0.5
    half = 0.5 * (0.1**2 + 0.05**2) ** 0.5 * stats.t.ppf(0.975, 2) / 3**0.5
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))
    assert (found.experiment, found.device, found.seeds) == ("toy", "a device", 3)


def test_a_table_s_own_intervals_give_the_widest_ratio():
    rows = table1().assign(speed_low=[390.0, 80.0], speed_high=[410.0, 120.0])
    found = only(RATIO, rows)
    assert (found.low, found.value, found.high) == (390 / 120, 4, 410 / 80)
    assert only(RATIO, rows.assign(speed_low=None)).objection == "the table gives no interval"


def test_quartiles_serve_where_a_table_gives_those():
    found = only(RATIO, table1().assign(speed_q1=[390.0, 80.0], speed_q3=[410.0, 120.0]))
    assert (found.low, found.high, found.interval) == (390 / 120, 410 / 80, "quartiles")


def test_of_several_rows_none_is_taken_unless_it_is_said_which():
    rows = pd.concat([table1(), table1(speed=900.0).head(1)], ignore_index=True)
    assert only(RATIO, rows).missing == "several rows have biflow"
    assert only(RATIO | {"several": "highest"}, rows).value == 9
    assert only(RATIO | {"several": "lowest"}, rows).value == 4


def test_a_speed_up_by_itself_is_compared_with_1():
    selector = {"table": "speed.csv", "column": "speedup", "value": {"sampler": "biflow"}}
    rows = table1().assign(speedup=3.0, speedup_low=2.0, speedup_high=4.0)
    found = only(selector, rows, "results/toy/report/speed.csv")
    assert (found.low, found.value, found.high) == (2, 3, 4)
    assert Selector(**selector).neutral == 1
    assert Selector(**selector | {"column": "nfe"}).neutral is None


def test_a_count_is_its_own_interval():
    selector = {"table": "table1.csv", "column": "nfe", "value": {"sampler": "biflow"}, "exact": True}
    found = only(selector, table1())
    assert (found.low, found.value, found.high) == (1, 1, 1)


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        ({}, "the table gives no interval"),
        ({"device": "another"}, "the two rows differ in device"),
        ({"n_samples": 400}, "the two rows differ in n_samples"),
        ({"seeds": "0 1"}, "the two rows differ in seeds"),
        ({"notes": "speed: the machine was busy with other work"}, "the machine was busy"),
        ({"busy": True}, "the machine was busy"),
        ({"notes": "speed: n = 1 is under twice the 8 features"}, "too few images for this many features"),
    ],
)
def test_what_cannot_be_compared_is_shown_with_the_reason(changes, objection):
    found = only(RATIO, table1(**changes))
    assert (found.value, found.objection) == (4, objection)


@pytest.mark.parametrize(
    ("column", "objection"),
    [
        ("kid_effnet", "a loss has seen these features"),
        ("fd_effnet_reconstruction", "a loss has seen these features"),
        ("fd_classifier", ""),
        ("label_accuracy", ""),
    ],
)
def test_features_that_a_loss_has_seen_judge_nothing_and_others_do(column, objection):
    rows = table1(seen_spaces="effnet").rename(columns={"fd": column, "fd_std": f"{column}_std"})
    assert only(RATIO | {"column": column}, rows).objection == objection


@pytest.mark.parametrize(
    ("selector", "missing"),
    [
        (RATIO | {"column": "watts"}, "it has no column watts"),
        (
            RATIO | {"ratio": [{"experiment": "toy"}, {"sampler": "exact"}]},
            "several rows have experiment toy",
        ),
    ],
)
def test_a_cell_that_is_not_there_is_missing_and_no_zero(selector, missing):
    found = only(selector, table1())
    assert (found.value, found.missing) == (None, missing)
    assert only(RATIO, table1(speed=None)).missing == "the cell is empty"
    assert only(RATIO, table1(speed=None, notes="2 of 500 images are not finite")).missing.startswith(
        "2 of 500"
    )


def test_a_missing_table_or_row_is_told():
    assert evidence(Selector(**RATIO), {}) == ([], "there is no table1.csv")
    wanted = RATIO | {"ratio": [{"sampler": "farmer", "batch": 1}, {"sampler": "exact"}]}
    reason = evidence(Selector(**wanted), {Path("table1.csv"): table1()})[1]
    assert reason == "no table1.csv has farmer, batch 1 and exact"


def test_an_experiment_is_read_of_its_own_rows_and_can_be_chosen():
    rows = pd.concat([table1(), table1(speed=200.0).assign(experiment="other")])
    found, _ = evidence(Selector(**RATIO), {Path("table1.csv"): rows})
    assert [(each.experiment, each.value) for each in found] == [("toy", 4), ("other", 2)]
    found, _ = evidence(Selector(**RATIO, experiments=["other"]), {Path("table1.csv"): rows})
    assert [each.experiment for each in found] == ["other"]


def cell(batch, busy=False):
    ratios = {"jacobi/static": {"q1": 3.0, "median": 3.5 * batch, "q3": 4.0}}
    row = {"tokens": 49, "batch_size": batch, "guidance": 1.0, "ratios": ratios, "busy": busy, "rounds": 5}
    row |= {"milliseconds": {"jacobi": 7.0, "static": 2.0}, "warm_up_stable": True, "threads": 2}
    return row | {"torch": "2.15.0", "device": "cpu", "commit": "abc+dirty"}


def test_ratios_are_read_as_they_are_written(tmp_path):
    path = tmp_path / "ratios.md"
    path.write_text(ratio_table([cell(1), cell(2, busy=True)]))
    wanted = {"pair": "jacobi/static", "tokens": 49, "batch_size": 1, "guidance": 1}
    found = only({"table": "ratios.md", "value": wanted}, read_tables([path])[path], path)
    assert (found.low, found.value, found.high) == (3, 3.5, 4)
    assert (found.device, found.commit, found.interval) == ("cpu", "abc+dirty", "quartiles over rounds")
    busy = only({"table": "ratios.md", "value": wanted | {"batch_size": 2}}, read_tables([path])[path], path)
    assert busy.objection == "the machine was busy"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratios.md", "| a |\n|---|\n| 1 |\n"),
        ("table1.csv", ""),
        ("table1.csv", 'a,b\n1,"2\n'),
        ("table2_verdicts.csv", "first,second\na,b\n"),
    ],
)
def test_a_broken_table_is_refused_in_a_sentence(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name} (cannot be read|is of another version).*remove it\.$"):
        read_tables([tmp_path / name])


def test_absent_tables_and_those_of_other_kinds_are_passed_over(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    assert read_tables([tmp_path / "manifest.json", tmp_path / "table1.csv"]) == {}
