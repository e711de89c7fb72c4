"""The table of guidance from made-up measurements."""

import numpy as np
import pytest

from nfbench.report.guidance_table import guidance_table


def measured(seed, distances, seen=(), rank_deficient=False):
    """Return what measure_guidance writes: {contestant: {scale: Frechet distance}} at one seed."""
    rows = [
        {"contestant": name, "scale": scale, "fd_a": fd, "label_accuracy": 0.5 + 0.1 * seed, "nfe": 1.0}
        | {"score_evaluations": 0.0, "non_finite": 0, "clipped": 2, "seen_spaces": list(seen)}
        for name, scales in distances.items()
        for scale, fd in scales.items()
    ]
    facts = {"rank_deficient": rank_deficient, "dim": 100}
    origin = {"device": "a device", "precision": "fp32", "commit": "abc"}
    return {"seed": seed, "n": 130, "spaces": {"a": facts}, "rows": rows, "provenance": origin} | {
        "floor": {"fd_a": 4.0 + seed, "label_accuracy": 0.9}
    }


def test_every_scale_is_told_against_the_same_contestant_without_guidance():
    runs = [measured(seed, {"exact": {0: 10.0 + seed, 1: 8.0 + 1.1 * seed}}) for seed in range(3)]
    rows = guidance_table("toy", runs)
    assert rows["scale"].tolist() == [0, 1]
    none, one = (row for _, row in rows.iterrows())
    assert (one["fd_a"], one["fd_a_std"], one["fd_a_floor"]) == pytest.approx((9.1, 1.1, 5.0))
    assert one["effect_fd_a"] == pytest.approx(-1.9)
    assert one["p_fd_a"] < 0.01
    assert none[["effect_fd_a", "p_fd_a"]].isna().all()
    assert (one["n_samples"], one["seeds"], one["clipped"], one["commit"]) == (130, "0 1 2", 6, "abc")


def test_what_a_seed_lacks_is_empty_and_the_other_scales_stay():
    runs = [measured(0, {"exact": {0: 10.0, 1: 9.0}}), measured(1, {"exact": {0: 11.0, 1: None}})]
    rows = guidance_table("toy", runs).set_index("scale")
    assert rows.loc[1, ["fd_a", "effect_fd_a"]].isna().all()
    assert rows.loc[0, "fd_a"] == 10.5


def test_without_scale_zero_there_is_nothing_to_compare_with():
    rows = guidance_table("toy", [measured(seed, {"exact": {1: 9.0 + seed}}) for seed in range(2)])
    assert rows["effect_fd_a"].isna().all()
    assert rows["fd_a"].tolist() == [9.5]


def test_a_row_that_a_seed_lacks_is_empty_rather_than_the_other_seeds_mean():
    runs = [measured(0, {"exact": {0: 10.0, 1: 9.0}}), measured(1, {"exact": {0: 11.0}})]
    rows = guidance_table("toy", runs).set_index("scale")
    assert rows.loc[1, ["fd_a", "effect_fd_a", "nfe"]].isna().all()
    assert rows.loc[0, "fd_a"] == 10.5


@pytest.mark.parametrize(
    ("options", "judged", "told"),
    [
        ({"seen": ["a"]}, "label_accuracy", ("a", "")),
        ({"seen": ["classifier"]}, "fd_a", ("classifier", "")),
        (
            {"rank_deficient": True},
            "label_accuracy",
            ("", "fd_a: n = 130 is under twice the 100 features, no p"),
        ),
    ],
)
def test_no_p_stands_where_no_verdict_is_drawn(options, judged, told):
    runs = [measured(seed, {"exact": {0: 10.0 + seed, 1: 8.0}}, **options) for seed in range(3)]
    row = guidance_table("toy", runs).set_index("scale").loc[1]
    other = {"fd_a": "label_accuracy", "label_accuracy": "fd_a"}[judged]
    assert row[f"p_{other}"] is None or np.isnan(row[f"p_{other}"])
    assert row[f"p_{judged}"] <= 1
    assert (row["seen_spaces"], row["notes"]) == told
