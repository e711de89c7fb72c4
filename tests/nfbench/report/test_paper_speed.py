"""The table of speeds at the paper's sizes."""

import pytest

import biflow  # noqa: F401 - registers the samplers
from nfbench.report.paper_speed import COLUMNS, markdown, speed_table

ORIGIN = {"device": "toy", "versions": {"torch": "2"}, "commit": "abc"}


def row(sampler, seconds, batch_size=1, **changes):
    rate = None if seconds is None else 1 / seconds
    cell = {"size": "B/2", "width": 8, "sampler": sampler, "batch_size": batch_size, "guidance": 0.0}
    made = {
        "busy": None if seconds is None else True,
        "precision": "fp32",
        "execution": "eager",
        "utilisation": 0.5,
        "note": None,
    }
    return cell | made | {"seconds_per_image": seconds, "images_per_second": rate} | changes


@pytest.fixture
def table():
    files = [
        [row("sequential", 3.0), row("sequential", 1.0, 4)],
        [row("sequential-static", 2.0), row("sequential-static", None, 4, note="out of memory")],
        [row("biflow", 0.02), row("biflow", 0.01, 4)],
    ]
    return speed_table("toy", [{"rows": r, "matmul_tflops": 1.0, "provenance": ORIGIN} for r in files])


def test_speed_ups_are_over_the_fastest_exact_inverse_of_the_same_cell(table):
    assert list(table.columns) == COLUMNS
    speedups = {(r["sampler"], r["batch_size"]): r["speedup"] for _, r in table.iterrows()}
    assert speedups["biflow", 1] == pytest.approx(100)
    assert speedups["biflow", 4] == pytest.approx(100)
    assert speedups["sequential", 1] == pytest.approx(2 / 3)
    baselines = set(table.loc[table["batch_size"] == 4, "speedup_baseline"])
    assert baselines == {"sequential"}  # the other one was not measured


def test_what_was_not_measured_stays_empty_and_says_why(table):
    missing = table[table["note"].notna()]
    assert missing[["seconds_per_image", "images_per_second", "speedup"]].isna().all(axis=None)
    assert "| B/2 | 8 | sequential-static | eager | 4 | 0 |  |  |  |" in markdown(table)
    assert "out of memory |" in markdown(table)
    assert "| 0.02 | 50 | 100 |  |  | 0.5 | yes |  |" in markdown(table)


def test_without_an_exact_inverse_there_is_no_speed_up():
    table = speed_table("toy", [{"rows": [row("biflow", 0.02)], "matmul_tflops": 1.0, "provenance": ORIGIN}])
    assert table["speedup"].isna().all()
