"""Tables ready to paste: what is bold, what is missing, and what LaTeX would stumble over."""

import pandas as pd
import pytest

from nfbench.report.paper_layouts import LAYOUTS, Column, Layout
from nfbench.report.paper_tables import cells, escape, number, write_paper_latex, write_paper_markdown

LOWER = Layout(("experiment",), (Column("fd_effnet", "FD", "lower"),))


def rows(values, **columns):
    shared = {"experiment": "toy", "seeds": "0 1 2"}
    return pd.DataFrame({"fd_effnet": values}).assign(**(shared | columns))


def bold(table, layout=LOWER):
    return [row[0].bold for row in cells(table, layout)[1]]


def test_the_best_value_is_bold_in_the_direction_that_the_layout_states():
    table = rows([2.0, 1.0, 3.0], images_per_second=[1.0, 2.0, 3.0])
    assert bold(table) == [False, True, False]
    higher = Layout(("experiment",), (Column("images_per_second", "images/s", "higher"),))
    assert bold(table, higher) == [False, False, True]
    neither = Layout((), (Column("fd_effnet", "FD"),))
    assert bold(table, neither) == [False, False, False]


def test_all_within_the_best_value_s_interval_are_bold():
    assert bold(rows([10.0, 11.0, 20.0], fd_effnet_std=1.0)) == [True, True, False]  # 10 ± 2.5
    assert bold(rows([10.0, 11.0, 20.0], fd_effnet_std=1.0, seeds="0 1")) == [True, False, False]
    own = {"fd_effnet_low": [9.0, 11.0, 15.0], "fd_effnet_high": [10.5, 12.0, 25.0]}
    assert bold(rows([10.0, 10.4, 20.0], **own)) == [True, True, False]
    assert bold(rows([10.0, 10.4, 20.0], **own, fd_effnet_std=0.01)) == [
        True,
        False,
        False,
    ]  # over seeds first
    over_samples = {f"fd_effnet_ci_{end}": own[f"fd_effnet_{end}"] for end in ("low", "high")}
    assert bold(rows([10.0, 10.4, 20.0], **over_samples, seeds="0")) == [True, True, False]


def test_a_value_that_is_printed_as_the_best_is_bold_too():
    assert bold(rows([397.1001, 397.1002, 397.2], seeds="0")) == [True, True, False]


def test_values_are_compared_within_an_experiment_and_one_value_is_not_best():
    table = rows([2.0, 1.0, 9.0, 8.0, 5.0], experiment=["a", "a", "b", "b", "c"])
    assert bold(table) == [False, True, False, True, False]


@pytest.mark.parametrize(
    "mark",
    [
        {"notes": ["fd_effnet: n = 4 is under twice the 8 features, no verdict", None, None]},
        {"seen_spaces": ["classifier effnet", None, None]},
    ],
)
def test_what_allows_no_verdict_is_marked_and_not_compared(mark):
    found = [row[0] for row in cells(rows([1.0, 2.0, 3.0], **mark), LOWER)[1]]
    assert [(cell.bold, cell.marked) for cell in found] == [(False, True), (True, False), (False, False)]


def test_the_classifier_judges_no_labels_where_a_loss_has_compared_its_features():
    table = pd.DataFrame({"label_accuracy": [0.8, 0.7, 0.6], "seen_spaces": ["classifier", None, "effnet"]})
    layout = Layout((), (Column("label_accuracy", "Label accuracy", "higher"),))
    found = [row[0] for row in cells(table, layout)[1]]
    assert [(cell.bold, cell.marked) for cell in found] == [(False, True), (True, False), (False, False)]


@pytest.fixture
def table1():
    table = pd.DataFrame({"experiment": "toy_1", "sampler": ["a+denoise", "b"], "seeds": "0 1 2"})
    return table.assign(
        fd_effnet=[310.25, 450.0],
        fd_effnet_std=[2.0, 3.0],
        inversion_mse=[None, 8.5e-14],
        ms_per_image_batch1=[None, None],
    )


def test_markdown_has_dashes_for_what_is_missing_and_no_empty_columns(table1, tmp_path):
    write_paper_markdown(tmp_path / "t.md", table1, "table1")
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert lines[0] == "| Experiment | Sampler | FD EfficientNet ↓ | Inversion MSE ↓ |"
    assert lines[2] == "| toy_1 | a+denoise | **310.2 ± 2** | – |"
    assert lines[3] == "| toy_1 | b | 450 ± 3 | 8.5e-14 |"
    assert "Bold: the best value and all within its interval" in lines[-1]


def test_latex_is_a_booktabs_table_with_its_own_characters_escaped(table1, tmp_path):
    write_paper_latex(tmp_path / "t.tex", table1, "table1")
    text = (tmp_path / "t.tex").read_text()
    assert r"\begin{tabular}{llrr}" in text
    assert r"toy\_1 & a+denoise & \textbf{310.2 $\pm$ 2} & -- \\" in text
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert {line.count(" & ") for line in body.splitlines()[1:]} == {3}
    assert escape(r"50% & \x_1^2 {~}") == (
        r"50\% \& \textbackslash{}x\_1\textasciicircum{}2 \{\textasciitilde{}\}"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1, "1"), (0.12345, "0.1235"), (12345.6, "12346"), (4e-6, "4.0e-06"), ("1.5x", "1.5x")],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_every_layout_names_each_column_once():
    for layout in LAYOUTS.values():
        names = [column.name for column in layout.columns]
        assert len(names) == len(set(names))
