"""The page of results: what its tables, figures and sentences say."""

import base64

import numpy as np
import pandas as pd
import pytest

from nfbench.report.experiment_page import comparison_section, contestants, experiment_section
from nfbench.report.page import Section, caption_of, image, number, page, paragraph, table

ROWS = pd.DataFrame(
    {
        "experiment": "toy",
        "sampler": ["sequential", "jacobi", "biflow"],
        "variant": [None, "tuned", None],
        "fd_effnet": [40.0, 41.0, 31.25],
        "fd_effnet_std": [np.nan, np.nan, np.nan],
        "fd_effnet_floor": 2.5,
        "fd_effnet_floor_noisy": 90.0,
        "ms_per_image_batch1": [10.0, np.nan, 1.0],
        "speedup_baseline": "sequential",
        "n_samples": 100,
        "n_reference": 200.0,
        "seeds": "0",
        "train_seconds_forward": 60.0,
        "train_seconds_reverse": [np.nan, np.nan, 30.0],
        "notes": [None, None, "speed: the machine was busy"],
    }
)


def test_a_missing_cell_is_a_dash_and_an_empty_column_is_left_out():
    text = table(ROWS, {"sampler": "sampler", "fd_effnet_std": "±", "ms_per_image_batch1": "ms"}, "c")
    assert text.count("<th") == 2
    assert text.count("–") == 1
    assert "<td>10</td>" in text


def test_markup_in_names_does_no_harm():
    text = table(pd.DataFrame({"sampler": ["<script>"]}), {"sampler": "a & b"}, "`x` < y")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "a &amp; b" in text
    assert "<code>x</code> &lt; y" in text


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0"), (2191.4, "2191"), (31.25, "31.2"), (0.00123, "0.00123"), (3e-9, "3.0e-09"), (-0.5, "-0.5")],
)
def test_numbers_have_three_digits(value, written):
    assert number(value) == written


def test_a_figure_is_within_the_page(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"not really a picture")
    text = image(path, "A caption. More.")
    assert base64.b64encode(path.read_bytes()).decode() in text
    assert 'alt="A caption"' in text


def test_a_caption_names_its_experiment(tmp_path):
    path = tmp_path / "caption.rst"
    path.write_text("Samples of\n{{ snakemake.wildcards.experiment }}, first seed.\n")
    assert caption_of(path, "toy") == "Samples of toy, first seed."


def test_an_experiment_is_written_up_with_its_floors_and_without_an_order_at_one_seed(tmp_path):
    section = experiment_section(ROWS, {}, tmp_path)
    text = "\n".join(section.blocks)
    assert "real test images are at 2.5" in text
    assert "The lowest distance of a sampler is 31.2, that of <code>biflow</code>" in text
    assert "no order of the samplers is claimed" in text
    assert "<code>biflow</code>: speed: the machine was busy." in text
    assert "jacobi (tuned)" in text
    assert "classifier features" not in text  # not measured


def test_only_published_pairs_are_told_of_a_comparison():
    rows = ROWS.assign(fd_classifier_floor=0.5, fd_classifier=[1.0, 2.0, 3.0])
    verdicts = ["a above b, as published: fd_effnet holds.", "a against c: fd_effnet higher."]
    text = "\n".join(comparison_section("Objectives", rows, verdicts, "From a file.").blocks)
    assert "a above b, as published" in text
    assert "a against c" not in text


def test_the_page_numbers_its_sections():
    text = page("Title", [Section("First", [paragraph("a")]), Section("Second", [])])
    assert text.startswith("<!DOCTYPE html>")
    assert text.index("<h2>1. First</h2>") < text.index("<p>a</p>") < text.index("<h2>2. Second</h2>")


def test_rows_without_variants_keep_their_names():
    assert contestants(ROWS.drop(columns="variant"))["contestant"].tolist() == ROWS["sampler"].tolist()
