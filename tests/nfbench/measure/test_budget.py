"""Quality against training time: when a curve passes the flow's."""

import numpy as np
import pandas as pd
import pytest
import torch

from nfbench.measure.budget import (
    budget_table,
    crossings,
    measure_while_training,
    read_curve,
    write_curve,
)
from nfbench.sample.sampler import Sampled
from nfbench.train.resumable import Place


def curves(**arms):
    """Return rows of arms given as [(seconds, distance), ...], their flow trained for 100 seconds before."""
    rows = [
        {"arm": arm, "seconds": s, "total_seconds": 100 + s, "fd_a": fd}
        for arm, points in arms.items()
        for s, fd in points
    ]
    return pd.DataFrame(rows)


# A power law of the time, 40000 / t.
FLOW = pd.DataFrame({"total_seconds": [100.0, 200.0], "fd_a": [400.0, 200.0]})


def test_a_curve_passes_where_it_is_below_the_flow_at_the_same_total_time():
    arms = curves(slow=[(60, 251), (100, 201)], fast=[(60, 249), (100, 99)])
    assert crossings(arms, FLOW, "fd_a") == {"slow": None, "fast": 60}
    assert crossings(arms, FLOW, "fd_a", factor=0.5) == {"slow": None, "fast": 100}


def test_beyond_the_last_flow_nothing_is_passed():
    assert crossings(curves(late=[(300, 1)]), FLOW, "fd_a") == {"late": None}


def test_a_point_that_was_not_measured_passes_nothing():
    assert crossings(curves(broken=[(50, None), (100, 100)]), FLOW, "fd_a") == {"broken": 100}


class Constant:
    """Stands for a sampler whose images are all of one grey."""

    latent_shape, n_classes = (4, 1), 2

    def __init__(self, value):
        self.value = value

    def sample(self, z, y, guidance=0.0):
        return Sampled(torch.full((len(z), 1, 2, 2), self.value), nfe=1)


@pytest.mark.parametrize(("value", "broken"), [(0.5, 0), (float("nan"), 6)])
def test_every_evaluation_draws_the_same_images_of_the_model_as_it_is_and_counts_the_broken(value, broken):
    seen = []
    measure = measure_while_training(
        lambda model: Constant(model),
        seed=3,
        n=6,
        batch_size=4,
        device=torch.device("cpu"),
        score=lambda samples: seen.append(samples) or {"fd_a": 1.0},
    )
    assert measure(value) == measure(value) == {"fd_a": 1.0, "non_finite": broken}
    assert (seen[0].images == seen[1].images).all()
    assert seen[0].labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_a_written_curve_reads_as_it_was_with_where_it_was_made(tmp_path):
    rows = [{"step": 1, "seconds": 0.5, "fd_a": 3.0}, {"step": 2, "seconds": 1.0, "fd_a": 2.0}]
    write_curve(tmp_path / "arm.json", rows, Place(torch.device("cpu"), "fp32"), arm="alignment", seed=0)
    read = read_curve(tmp_path / "arm.json")
    assert read[["step", "seconds", "fd_a"]].to_dict("records") == rows
    assert set(read["arm"]) == {"alignment"}
    assert set(read["precision"]) == {"fp32"}


@pytest.fixture
def files(tmp_path):
    """Two flows, two arms, and the floor; the second flow's steps took longer than the first's."""
    place = Place(torch.device("cpu"), "fp32")
    for name, steps, seconds, fd in (("flow", 100, 80.0, 400.0), ("longer", 200, 220.0, 200.0)):
        write_curve(tmp_path / f"{name}.json", [{"step": steps, "seconds": seconds, "fd_a": fd}], place)
    arm = [{"seconds": 60.0, "fd_a": 240.0}, {"seconds": 100.0, "fd_a": 90.0}]
    write_curve(tmp_path / "arm.json", arm, place, arm="fast", flow_steps=100, seen_spaces="b")
    write_curve(tmp_path / "other.json", arm[:1], place, arm="seeing", flow_steps=100, seen_spaces="a b")
    write_curve(tmp_path / "floor.json", [{"fd_a": 30.0}], place, n_samples=130)
    return tmp_path


def table(files):
    flows, arms = (
        [files / f"{name}.json" for name in names] for names in (("longer", "flow"), ("arm", "other"))
    )
    return budget_table(flows, arms, files / "floor.json", ["a"])


def test_the_table_tells_each_arm_against_the_flow_at_equal_total_time_and_marks_what_its_loss_saw(files):
    _, curves, rows = table(files)
    assert len(curves) == 3
    told = {row["arm"]: row for row in rows}
    assert told["fast"]["ratio"] == pytest.approx(90 / 200)
    assert (told["fast"]["floor"], told["fast"]["n_samples"]) == (30.0, 130)
    assert told["fast"]["ratio_above_the_floor"] == pytest.approx(60 / 170)
    assert told["fast"]["seconds_until_below_the_exact_inverse"] == 60
    assert told["fast"]["seconds_until_half_of_it"] == 100
    assert told["seeing"]["ratio"] == pytest.approx(240 / 250)
    assert (told["fast"]["seen_by_its_loss"], told["seeing"]["seen_by_its_loss"]) == (False, True)


def test_a_step_of_the_flow_costs_the_same_in_the_line_and_in_the_curves(files):
    flow, curves, _ = table(files)
    # 300 steps took 300 seconds, the first hundred of them less than their share
    assert flow["total_seconds"].tolist() == [100, 200]
    assert curves["total_seconds"].tolist() == [160, 200, 160]


def test_an_arm_that_outlasts_every_flow_is_noted_and_compared_with_nothing(files):
    place = Place(torch.device("cpu"), "fp32")
    late = [{"seconds": 101.0, "fd_a": 1.0}]
    write_curve(files / "other.json", late, place, arm="late", flow_steps=100, seen_spaces="")
    told = {row["arm"]: row for row in table(files)[2]}
    assert "raise the last of budget.forward_steps" in told["late"]["notes"]
    assert np.isnan(told["late"]["ratio"])
    assert told["late"]["seconds_until_below_the_exact_inverse"] is None
    assert told["fast"]["notes"] is None
