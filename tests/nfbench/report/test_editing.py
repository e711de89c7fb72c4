"""The table and the figures of edited images, on made-up data."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import PolyCollection

from nfbench.report import editing_figures, style
from nfbench.report.editing_table import AVERAGED, COLUMNS, editing_table
from nfbench.report.tables import write_markdown

ORIGIN = {"device": "cpu x", "precision": "fp32", "commit": "12345678901e2"}


def row(sampler, mask, seed=0, **changes):
    scores = dict.fromkeys(AVERAGED) | {
        "kept_mse": 0.1,
        "hidden_mse": 0.2 + 0.1 * seed,
        "label_accuracy": 0.8,
    }
    fixed = {"task": "inpainting", "leak": 0.0, "non_finite": 0, "reason": None, "n": 50}
    beside = {"kept_mse_other": 0.6, "label_accuracy_real": 0.9}
    return {"sampler": sampler, "mask": mask, "seed": seed} | fixed | scores | beside | changes


def measured(*rows):
    return {"rows": list(rows), "provenance": ORIGIN}


def editing(sampler, seed=0):
    return row(sampler, None, seed, task="class editing", leak=None, hidden_mse=None, kept_class_share=0.1)


def test_rows_of_one_task_and_mask_stand_together():
    names = ("exact", "biflow")
    by_sampler = [r for name in names for r in (row(name, "centre"), row(name, "right-half"), editing(name))]
    rows = editing_table("toy", [measured(*by_sampler)])
    assert list(rows.columns) == list(COLUMNS)
    assert rows["mask"].fillna("").tolist() == ["centre"] * 2 + ["right-half"] * 2 + [""] * 2
    assert rows["sampler"].tolist() == ["exact", "biflow"] * 3
    assert rows["commit"].tolist() == ["12345678901e2"] * 6


def test_seeds_give_mean_and_standard_deviation_and_the_largest_leak():
    runs = [measured(row("biflow", "centre", seed, leak=0.01 * seed)) for seed in (0, 1, 2)]
    cells = editing_table("toy", runs).iloc[0]
    assert cells["hidden_mse"] == pytest.approx(0.3)
    assert cells["hidden_mse_std"] == pytest.approx(0.1)
    assert (cells["leak"], cells["seeds"], cells["n"]) == (0.02, "0 1 2", 50)
    assert editing_table("toy", runs[:1])["hidden_mse_std"].isna().all()


def test_what_was_not_measured_is_empty_with_the_reason(tmp_path):
    reason = "2 of 50 images are not finite"
    bad = row("biflow", "centre", 1, **dict.fromkeys(AVERAGED), leak=None, non_finite=2, reason=reason)
    rows = editing_table("toy", [measured(row("biflow", "centre")), measured(bad)])
    cells = rows.iloc[0]
    assert cells[["kept_mse", "hidden_mse", "label_accuracy", "leak"]].isna().all()
    assert (cells["non_finite"], cells["notes"]) == (2, reason)
    write_markdown(tmp_path / "t.md", rows)
    text = (tmp_path / "t.md").read_text()
    assert "| label_accuracy_real | 0.9 |" in text
    assert "kept_class_share" not in text


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def shown(axes):
    return [axes.images[0].get_array() for axes in axes]


def test_every_hidden_pixel_is_hatched_and_no_other():
    _, axes = plt.subplots()
    hidden = np.zeros((4, 4), dtype=bool)
    hidden[1, 2] = hidden[3, 0] = True
    editing_figures.show_masked(axes, images(3, 4, 4), hidden)
    (squares,) = [part for part in axes.collections if isinstance(part, PolyCollection)]
    centres = {tuple(path.vertices[:4].mean(axis=0)) for path in squares.get_paths()}
    assert centres == {(2.0, 1.0), (0.0, 3.0)}
    assert squares.get_hatch()
    plt.close("all")


def panel(title, n, seed):
    hidden = np.zeros((n, 1, 4, 4), dtype=bool)
    hidden[:, :, :, 2:] = True
    rows = [(name, images(n, 1, 4, 4, seed=seed + i)) for i, name in enumerate(("exact", "pasted"))]
    return editing_figures.Panel(title, images(n, 1, 4, 4, seed=seed + 9), hidden, rows)


def test_the_inpainting_figure_shows_originals_masks_and_results_of_every_panel(tmp_path):
    panels = [panel("centre", 2, 0), panel("right half", 3, 5)]
    figure = editing_figures.inpainting(panels)
    assert len(figure.axes) == 4 * (2 + 3)
    first = figure.axes[:8]  # the first panel, row by row
    expected = [panels[0].originals, panels[0].originals, *(results for _, results in panels[0].rows)]
    for found, image in zip(shown(first), np.concatenate(expected), strict=True):
        assert np.array_equal(found, image[0])
    assert [len(axes.collections) for axes in first] == [0, 0, 1, 1, 0, 0, 0, 0]
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert labels == ["original", "hidden", "exact", "pasted"]
    assert {axes.get_title() for axes in figure.axes} == {"", "centre", "right half"}
    style.save(figure, tmp_path / "a.png", tmp_path / "a.pdf")
    assert min(path.stat().st_size for path in tmp_path.iterdir()) > 1000


def test_the_class_editing_figure_frames_every_image_s_own_class():
    edited = {name: images(2, 3, 1, 4, 4, seed=i) for i, name in enumerate(("exact", "biflow"))}
    originals = images(2, 1, 4, 4, seed=9)
    figure = editing_figures.class_editing(originals, [2, 0], edited, ("a", "b", "c"))
    grid = np.array(figure.axes).reshape(2, 2, 4)  # image, sampler, column
    for i, name in ((0, "exact"), (1, "biflow")):
        for k in range(2):
            row_images = [originals[k], *edited[name][k]]
            for found, image in zip(shown(grid[k, i]), row_images, strict=True):
                assert np.array_equal(found, image[0])
    framed = [[axes.spines["top"].get_visible() for axes in grid[k, 0]] for k in range(2)]
    assert framed == [[False, False, False, True], [False, True, False, False]]
    assert [axes.get_title() for axes in grid[0, 0]] == ["original", "a", "b", "c"]
    plt.close(figure)
