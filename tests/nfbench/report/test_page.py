"""The report pages."""

import base64
import re

import pandas as pd
import pytest

from nfbench.report.page import Section, experiment_sections, summary_sections, write_page
from nfbench.report.table_specs import Column, TableSpec
from nfbench.report.tables import build
from tests.nfbench.report.rows import KEY, experiment, frame, quality, sampler

SPEC = TableSpec(
    name="table1",
    title="Quality",
    columns=[
        Column(name="experiment", attribute="experiment", heading="Experiment"),
        Column(name="sampler", attribute="sampler", heading="Sampler"),
        Column(name="fd_effnet", metric="fd", space="effnet", heading="FD"),
        Column(name="fd_effnet_real", metric="fd", space="effnet", of="real"),
        Column(name="notes", attribute="notes"),
        Column(name="device", attribute="device"),
        Column(name="commit", attribute="commit"),
    ],
)
CLAIMS = pd.DataFrame(
    {
        "claim": ["It is fast.", "It is good."],
        "verdict": ["reproduced", "not resolved (2 seeds)"],
        "seeds": [3, None],
        "device": ["cpu", None],
    }
)


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "chart.png"
    path.write_bytes(b"picture")
    return path


def resolved():
    (made,) = experiment(
        sampler("real", flow=None), sampler("good"), sampler("seen"), sampler("lost")
    ).values()
    flow = {"training": {"steps": 100, "batch_size": 8}}
    return made | {
        "seeds": [0],
        "data": {"name": "digits"},
        "flows": {"flow": flow},
        "reverses": {},
        "sampling": {"n_samples": 100},
        "quality": {"spaces": ["effnet"], "n_reference": 200},
    }


def table():
    rows = [*quality("real", [1.0]), *quality("good", [3.0]), *quality("lost", [None])]
    rows += quality("seen", [2.0], flag="seen_by_loss")
    return build(SPEC, frame(*rows), {KEY: resolved()})


def written(tmp_path, sections):
    write_page(tmp_path / "report.html", "A page", sections)
    return (tmp_path / "report.html").read_text()


def test_text_is_escaped_and_names_in_back_quotes_are_code(tmp_path):
    rows = pd.DataFrame({"a <b>": ["x & y"]})
    html = written(tmp_path, [Section("1 < 2", ["`jacobi` & <script>"], [(rows, "of `it`")])])
    assert "<code>jacobi</code> &amp; &lt;script&gt;" in html
    assert "1 &lt; 2" in html
    assert "a &lt;b&gt;" in html
    assert "x &amp; y" in html
    assert "<script>" not in html


def test_numbers_are_rounded_and_missing_cells_are_dashes(tmp_path):
    rows = pd.DataFrame({"name": ["one", None], "value": [1.23456, None]})
    rows.attrs["bold"] = {(0, "value")}
    html = written(tmp_path, [Section("Table", tables=[(rows, "")])])
    assert "<b>1.235</b>" in html
    assert html.count('<td class="missing">–</td>') == 2


def test_a_page_holds_its_figures_and_names_no_other_file(tmp_path, png):
    html = written(tmp_path, [Section("Figures", figures=[(png, "A chart.")])])
    assert base64.b64encode(b"picture").decode() in html
    assert not re.findall(r'(?:src|href)="(?!data:)', html)


def test_an_experiment_is_written_up_with_the_origin_of_every_table_and_figure(tmp_path, png):
    sections = experiment_sections(resolved(), {"table1": table()}, {"table1": SPEC}, {"sample_size": png})
    html = written(tmp_path, sections)
    assert "Trained: flow <code>flow</code> (100 steps of 8 images)" in html
    assert "With fewer than three seeds no order of the samplers is claimed." in html
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html, re.S)
    assert len(captions) == 2
    assert all("Origin: this run (cpu, commit abc)." in caption for caption in captions)


def test_values_that_must_not_be_compared_are_marked_also_in_a_table_read_from_csv(tmp_path):
    built = table()
    built.to_csv(tmp_path / "table1.csv", index=False)
    read = pd.read_csv(tmp_path / "table1.csv")
    for each in (built, read):
        first, *_ = experiment_sections(resolved(), {"table1": each}, {"table1": SPEC}, {})
        shown, _ = first.tables[0]
        assert shown.set_index("Sampler")["FD ↓"].to_dict() == {
            "real": "1",
            "good": "3",
            "seen": "2†",
            "lost": "–",
        }


def test_the_joined_page_counts_verdicts_and_tells_references_from_this_run(tmp_path, png):
    joined = pd.concat(
        [table().assign(origin="this run"), table().assign(origin="reference old", device="gpu")]
    )
    joined.attrs = {}
    sections = summary_sections(
        {"made": resolved()},
        {"table1": joined.reset_index(drop=True)},
        {"table1": SPEC},
        {"made": {"samples": png}},
        CLAIMS,
    )
    html = written(tmp_path, sections)
    assert "Of 2 claims: 1 reproduced, 1 not resolved." in html
    assert "Origin: this run (cpu, commit abc); reference old (gpu, commit abc)." in html
    assert "by its first member. Origin: this run (cpu, commit abc)." in html
