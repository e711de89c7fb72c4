"""The figure of quality against training time: what is drawn where."""

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from nfbench.report.budget_figures import budget_figure

FLOW = pd.DataFrame({"total_seconds": [100.0, 200.0], "fd_effnet": [400.0, 200.0]})
FLOW["fd_classifier"] = FLOW["fd_effnet"] / 100


@pytest.fixture
def figure():
    rows = [
        {"arm": arm, "seconds": s, "total_seconds": 100 + s, "fd_effnet": fd, "fd_classifier": fd / 100}
        | {"seen_spaces": seen}
        for arm, seen in (("plain", ""), ("seeing", "classifier"))
        for s, fd in ((50.0, 240.0), (100.0, 90.0))
    ]
    floors = {"fd_effnet": 30.0, "fd_classifier": 0.1}
    yield budget_figure(pd.DataFrame(rows), FLOW, ["effnet", "classifier"], floors)
    plt.close("all")


def test_the_exact_inverse_is_drawn_at_the_same_total_time_with_its_half_and_the_floor(figure):
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    exact = next(line for label, line in lines.items() if label.startswith("exact inverse"))
    # The arms' flow trained for 100 seconds: at 0 and 100 seconds of theirs it is at 100 and 200.
    assert (exact.get_ydata()[0], exact.get_ydata()[-1]) == pytest.approx((400, 200))
    assert (lines["half of it"].get_ydata()[0], lines["half of it"].get_ydata()[-1]) == pytest.approx(
        (200, 100)
    )
    flows = lines["flows measured"]
    assert (flows.get_xdata().tolist(), flows.get_ydata().tolist()) == ([0, 100], [400, 200])
    assert set(lines["real images"].get_ydata()) == {30}
    assert lines["plain"].get_ydata().tolist() == [240, 90]


def test_an_arm_whose_loss_has_seen_the_features_is_dashed_there_alone(figure):
    styles = [
        {line.get_label(): line.get_linestyle() for line in axes.lines if line.get_label() != "half of it"}
        for axes in figure.axes[:2]
    ]
    assert [style["seeing"] for style in styles] == ["-", "--"]
    assert [style["plain"] for style in styles] == ["-", "-"]
