"""The figure of guidance on made-up rows."""

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from nfbench.report.guidance_figures import against_scale, quality_against_guidance


def made_up(seeds):
    """Return rows whose Frechet distance is 10 + scale + seed, twice as much for the second contestant."""
    return pd.DataFrame(
        {
            "contestant": name,
            "seed": seed,
            "scale": scale,
            "fd_classifier": factor * (10 + scale + seed),
            "label_accuracy": 0.5 + 0.1 * scale,
        }
        for name, factor in (("exact", 1), ("learned", 2))
        for seed in seeds
        for scale in (0.0, 2.0, 1.0)
    )


def floors(seeds):
    return pd.DataFrame([{"fd_classifier": 4.0 + 2 * seed, "label_accuracy": 0.9} for seed in seeds])


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_a_line_is_the_mean_over_seeds_in_order_of_scale_with_a_band(axes):
    against_scale(axes, made_up([0, 1]), floors([0, 1]), "fd_classifier")
    exact, learned, floor = axes.get_lines()
    assert [line.get_label() for line in (exact, learned, floor)] == ["exact", "learned", "real images"]
    assert exact.get_xdata().tolist() == [0.0, 1.0, 2.0]
    assert exact.get_ydata().tolist() == [10.5, 11.5, 12.5]
    assert learned.get_ydata().tolist() == [21.0, 23.0, 25.0]
    assert floor.get_ydata() == [5.0, 5.0]
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((10.5 - 0.5**0.5, 12.5 + 0.5**0.5))


def test_one_seed_has_no_band(axes):
    against_scale(axes, made_up([3]), floors([3]), "label_accuracy")
    assert len(axes.get_lines()) == 3
    assert len(axes.collections) == 0


def test_an_empty_cell_of_one_seed_leaves_its_point_out(axes):
    rows = made_up([0, 1]).astype({"fd_classifier": object})
    missing = (rows["contestant"] == "exact") & (rows["seed"] == 1) & (rows["scale"] == 1.0)
    rows.loc[missing, "fd_classifier"] = None
    against_scale(axes, rows, floors([0, 1]), "fd_classifier")
    exact, learned, _ = axes.get_lines()
    assert pd.isna(exact.get_ydata()).tolist() == [False, True, False]
    assert not pd.isna(learned.get_ydata()).any()


def test_the_figure_has_a_panel_a_space_and_one_for_labels_and_one_legend():
    figure = quality_against_guidance(made_up([0]), floors([0]), {"classifier": "a title"})
    assert [axes.get_title() for axes in figure.axes] == ["a title", "label accuracy"]
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]
    assert all(axes.get_xlabel() == "guidance scale $w$" for axes in figure.axes)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["exact", "learned", "real images"]
    plt.close(figure)
