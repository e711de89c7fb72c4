"""Tables: known cells, ties, marks, verdicts, and the same cells from rows kept by an older version."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from nfbench.errors import UserError
from nfbench.report.tables import build, read_specs, verdict, verdicts, write
from nfbench.stats import mean_interval, paired
from tests.nfbench.report.rows import difference, experiment, frame, quality, sampler, summary, times

ROOT = Path(__file__).resolve().parents[3]
SPECS = read_specs(ROOT / "config/tables.yaml")
ONE, TWO, THREE = [10.0, 12.0, 14.0], [20.0, 21.0, 25.0], [11.0, 11.5, 12.0]
ROWS = experiment(
    sampler("real", flow=None),
    sampler("sequential", title="exact", exact=True),
    sampler("biflow", title="alignment", learned=True, reverse="biflow"),
    sampler("biflow-noisy", factor="denoising", title="none", learned=True, reverse="biflow-noisy"),
)
MEASURED = frame(
    *quality("real", [1.0, 1.0, 1.0]),
    *quality("sequential", ONE),
    *quality("biflow", TWO),
    *quality("biflow-noisy", THREE),
)


def spec(tmp_path, **table):
    path = tmp_path / "tables.yaml"
    path.write_text(yaml.safe_dump({"tables": {"made": {"title": "A table"} | table}}))
    return read_specs(path)["made"]


def cells(table: str, rows: pd.DataFrame = MEASURED, experiments: dict = ROWS) -> pd.DataFrame:
    return build(SPECS[table], rows, experiments).set_index("sampler")


def test_mean_and_spread_are_over_seeds():
    found = cells("table2").loc["sequential"]
    assert (found["fd_effnet"], found["fd_effnet_std"], found["seeds"]) == (12.0, 2.0, "0 1 2")
    assert (found["fd_effnet_real"], found["device"], found["commit"]) == (1.0, "cpu", "abc")


def test_rows_are_chosen_by_their_attributes_and_the_base_stands_first():
    assert list(cells("table1").index) == ["real", "sequential", "biflow"]
    assert list(cells("table2").index) == ["sequential", "biflow"]
    assert list(cells("table3").index) == ["biflow", "biflow-noisy"]


def test_effects_are_paired_differences_from_the_baseline():
    found, expected = cells("table2"), paired(ONE, TWO)
    assert found.loc["sequential", "effect_fd_effnet"] == expected.mean
    assert found.loc["sequential", "effect_std_fd_effnet"] == pytest.approx(expected.std)
    assert found.loc["sequential", "p_fd_effnet"] == pytest.approx(expected.p)
    assert pd.isna(found.loc["biflow", "effect_fd_effnet"])
    assert (
        found.loc["sequential", "verdict_fd_effnet"] == "does not hold"
    )  # published: above hidden alignment


def test_rows_of_an_older_version_give_the_same_cells():
    kept = [summary("sequential", ONE), summary("biflow", TWO), summary("biflow-noisy", THREE)]
    kept += [difference("biflow", "sequential", TWO, ONE), difference("biflow-noisy", "biflow", THREE, TWO)]
    old = frame(summary("real", [1.0, 1.0, 1.0]), *kept)
    for table in ("table2", "table3"):
        pd.testing.assert_frame_equal(cells(table, old), cells(table), rtol=1e-12)
        two, one = (verdicts(SPECS[table], rows, ROWS) for rows in (old, MEASURED))
        pd.testing.assert_frame_equal(two, one, rtol=1e-12)


def test_a_seed_without_a_value_leaves_the_mean_empty():
    found = cells("table2", frame(*quality("sequential", [10.0, None, 14.0]), *quality("biflow", TWO)))
    assert pd.isna(found.loc["sequential", "fd_effnet"])
    assert found.loc["sequential", "verdict_fd_effnet"] == "not measured"
    assert found.loc["sequential", "notes"] == "fd_effnet: not_measured"


def test_nothing_measured_leaves_a_row_out_and_an_empty_table_can_be_written(tmp_path):
    found = build(SPECS["table2"], MEASURED.iloc[:0], ROWS)
    assert found.empty
    write(found, SPECS["table2"], tmp_path)
    assert "Nothing was measured." in (tmp_path / "table2.md").read_text()


def test_the_interval_over_samples_shrinks_with_the_number_of_independent_seeds():
    rows = [
        each | {"low": each["value"] - 3.0, "high": each["value"] + 4.0}
        for each in quality("sequential", [10.0, 12.0])
    ]
    found = cells("table1", frame(*rows)).loc["sequential"]
    assert found["fd_effnet_ci_low"] == pytest.approx(11.0 - 3.0 / np.sqrt(2))
    assert found["fd_effnet_ci_high"] == pytest.approx(11.0 + 4.0 / np.sqrt(2))
    ends = mean_interval([10.0, 12.0])
    assert (found["fd_effnet_seeds_ci_low"], found["fd_effnet_seeds_ci_high"]) == (ends.low, ends.high)


def test_distances_of_different_numbers_of_images_are_refused():
    other = [each | {"n": 50} for each in quality("biflow", TWO)]
    with pytest.raises(UserError, match="'biflow' and 'sequential' in 'made' are of 50 and 100 images"):
        cells("table2", frame(*quality("sequential", ONE), *other))


def test_a_measurement_that_is_there_twice_is_refused():
    with pytest.raises(UserError, match="'fd' of 'biflow' .* twice"):
        cells("table2", frame(*quality("biflow", TWO), *quality("biflow", TWO)))


def bold(rows: pd.DataFrame, experiments: dict = ROWS, column: str = "fd_effnet") -> set[str]:
    found = build(SPECS["table1"], rows, experiments)
    return {found.loc[i, "sampler"] for i, name in found.attrs["bold"] if name == column}


def test_bold_are_the_best_and_all_within_its_interval_but_no_real_images():
    assert bold(
        frame(
            *quality("real", [1.0] * 3),
            *quality("sequential", [10.0, 12.0, 14.0]),
            *quality("biflow", [16.0] * 3),
        )
    ) == {"sequential", "biflow"}
    assert bold(frame(*quality("sequential", [10.0, 12.0, 14.0]), *quality("biflow", [17.0] * 3))) == {
        "sequential"
    }


def test_exact_inverses_of_one_flow_draw_the_same_images_and_are_tied():
    names = ("sequential", "sequential-static")
    rows = frame(*quality(names[0], [10.0]), *quality(names[1], [10.001]))
    for flow, tied in (("flow", set(names)), ("other", {"sequential"})):
        both = experiment(sampler(names[0], exact=True), sampler(names[1], exact=True, flow=flow))
        assert bold(rows, both) == tied


def test_flagged_cells_are_marked_and_never_bold(tmp_path):
    rows = frame(
        *quality("sequential", ONE),
        *quality("biflow", [1.0, 1.0, 1.0], flag="seen_by_loss"),
        *quality("biflow-noisy", THREE),
    )
    found = build(SPECS["table2"], rows, ROWS)
    assert found.attrs["marked"] == {(1, "fd_effnet")}
    assert (1, "fd_effnet") not in found.attrs["bold"]
    assert found.loc[1, "feature_spaces_in_loss"] == "effnet"
    assert found.loc[0, "verdict_fd_effnet"] == "no verdict: the loss of biflow has seen these features"
    write(found, SPECS["table2"], tmp_path)
    assert "†: not compared" in (tmp_path / "table2.md").read_text()


def test_every_pair_of_objectives_is_compared_and_said_in_a_sentence(tmp_path):
    found = verdicts(SPECS["table2"], MEASURED, ROWS)
    line = found[found["measure"] == "fd_effnet"].iloc[0]
    assert (line["first"], line["second"], line["seeds"]) == ("sequential", "biflow", 3)
    assert line["difference"] == -10.0
    write(build(SPECS["table2"], MEASURED, ROWS), SPECS["table2"], tmp_path, found)
    assert (
        "- sequential above biflow, as published: fd_effnet does not hold (-10 ± 1, p = 0.0033)"
        in (tmp_path / "table2.md").read_text()
    )
    assert len(pd.read_csv(tmp_path / "table2_verdicts.csv")) == 3


@pytest.mark.parametrize(
    ("values", "published", "words"),
    [
        ([-2.0, -2.1, -1.9], -5.0, "holds"),
        ([-2.0, -2.1, -1.9], 5.0, "does not hold"),
        ([-2.0, -2.1, -1.9], None, "lower"),
        ([2.0, 2.1, 1.9], 0.0, "higher"),
        ([2.0, -2.1, 1.9], -5.0, "not resolved"),
        ([2.0], -5.0, "not resolved"),
    ],
)
def test_a_verdict_needs_significance_and_the_published_sign(values, published, words):
    found = paired(values, [0.0] * len(values))
    assert verdict(found, published) == words
    assert verdict(found, published, "no verdict: busy") == "no verdict: busy"
    assert verdict(None, published, "no verdict: busy") == "not measured"


def test_files_have_a_dash_in_markdown_an_empty_cell_in_csv_and_booktabs_in_latex(tmp_path):
    columns = [{"name": "sampler", "attribute": "sampler", "heading": "A_b"}]
    columns += [
        {"name": "fd", "space": "effnet", "heading": "FD", "with": ["std"]},
        {"name": "nfe", "heading": "NFE"},
    ]
    made = spec(tmp_path, columns=columns)
    rows = frame(*quality("sequential", ONE), *quality("biflow", TWO), *quality("biflow", [1.0], "nfe", ""))
    write(build(made, rows, ROWS), made, tmp_path)
    assert (tmp_path / "made.csv").read_text().splitlines()[1:] == [
        "sequential,12.0,2.0,",
        "biflow,22.0,2.6457513110645907,1.0",
    ]
    text = (tmp_path / "made.md").read_text()
    assert "| **12 ± 2** |" in text.replace("  ", "")
    assert "– |" in text
    assert "FD ↓" in text
    latex = (tmp_path / "made.tex").read_text()
    assert r"\textbf{12 $\pm$ 2} & -- \\" in latex
    assert r"A\_b" in latex
    assert r"\toprule" in latex


def test_times_are_geometric_means_and_disturbed_processes_are_left_out():
    rows = times("sequential", [1.0, 4.0]) + times("biflow", [1.0, 1.0])
    rows += [each | {"repetition": 2, "flag": "busy"} for each in times("biflow", [100.0])]
    found = build(SPECS["table4"], frame(*rows), ROWS).set_index("sampler")
    assert found.loc["sequential", "ms_per_image"] == pytest.approx(2.0)
    assert found.loc["sequential", "images_per_second"] == pytest.approx(500.0)
    assert (found.loc["biflow", "ms_per_image"], found.loc["biflow", "processes"]) == (pytest.approx(1.0), 2)
    assert (found["origin"] == "published").any()


def test_edited_images_have_a_row_for_every_task():
    rows = [
        quality("biflow", [0.1, 0.3], "kept_mse", "", task=task)
        for task in ("inpainting centre", "class-editing")
    ]
    found = build(SPECS["editing"], frame(*rows[0], *rows[1]), ROWS)
    assert list(found["task"]) == ["inpainting centre", "class-editing"]
    assert list(found["kept_mse"]) == [pytest.approx(0.2)] * 2


def test_guidance_is_compared_with_the_same_model_without_it():
    scales = [sampler(f"g@{w}", group="g", type="sequential", guidance=w) for w in (0.0, 1.0)]
    found = build(
        SPECS["guidance"], frame(*quality("g@0.0", ONE), *quality("g@1.0", TWO)), experiment(*scales)
    )
    assert list(found["guidance"]) == [0.0, 1.0]
    assert pd.isna(found.loc[0, "effect_fd_effnet"])
    assert found.loc[1, "effect_fd_effnet"] == 10.0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"columns": [{"name": "fd", "spaec": "effnet"}]}, "unknown key 'spaec'.*did you mean 'space'"),
        ({"columns": [{"name": "fd", "stat": "men"}]}, "did you mean 'mean'"),
        ({"columns": [], "paper": {"biflow": {"id": "biflow-b"}}}, "There is no published number 'biflow-b'"),
    ],
)
def test_a_mistake_in_the_file_is_told(tmp_path, table, words):
    with pytest.raises(UserError, match=words):
        spec(tmp_path, **table)
