"""What is made first."""

import pytest
import yaml

from nfbench.errors import UserError
from nfbench.preemptible.plan import ROOT, Stage, experiments_of, pending, read_values, stages


@pytest.fixture
def values():
    values = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    values["sampling"]["samplers"] += ["biflow-naive"]
    values["reverse"]["biflow-naive"] = values["reverse"]["biflow"]
    return values | {"seeds": [3, 5]}


def test_a_seed_is_finished_before_the_next_begins_and_its_learned_reverses_come_first(values):
    planned = stages(values)
    assert [stage.title for stage in planned] == [
        "biflow, seed 3",
        "biflow-naive, seed 3",
        "the other samplers and the floors, seed 3",
        "tables and figures of 1 of 2 seeds",
        "biflow, seed 5",
        "biflow-naive, seed 5",
        "the other samplers and the floors, seed 5",
        "tables and figures of 2 of 2 seeds",
    ]
    assert planned[0].targets == ("results/tiny/measure/quality/biflow/seed3.json",)
    sources = [path.split("/")[4] for path in planned[2].targets]
    assert sources == ["sequential", "sequential+denoise", "gs-jacobi@tuned", "floor", "floor-noisy"]
    assert yaml.safe_load(planned[3].overlay()) == {"seeds": [3]}
    assert {stage.overlay() for stage in planned if stage is not planned[3]} == {""}


def test_only_what_is_not_there_is_made_and_the_last_stage_always(values, tmp_path):
    planned = stages(values)
    assert pending(planned, tmp_path) == planned
    for stage in planned[0], planned[4]:
        path = tmp_path / stage.files[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    # The tables of the first seed had their turn before the second seed's reverse was measured.
    left = [planned[place] for place in (1, 2, 5, 6, 7)]
    assert pending(planned, tmp_path) == left


def test_targets_of_one_s_own_take_the_plan_s_place(values):
    assert stages(values, ["results/table2.csv", "budget"]) == [
        Stage("results/table2.csv", ("results/table2.csv",)),
        Stage("budget", ("budget",)),
    ]


def test_sizes_are_timed_one_after_the_other():
    planned = stages(read_values(ROOT / "config/paper-speed.yaml"))
    assert [stage.title for stage in planned] == [
        "speeds at size B/2",
        "speeds at size XL/2",
        "the table of speeds",
    ]
    assert planned[0].files[1] == "results/paper-speed/measure/speed/B-2/sequential-static.json"


def test_what_an_experiment_shares_with_others_is_packed_too(values):
    assert experiments_of(values) == ["tiny"]
    shared = {"experiments": ["tiny", "digits"], "ablation_experiment": "digits-ablations"}
    assert experiments_of(values | shared) == ["tiny", "digits", "digits-ablations"]


def test_a_file_that_is_no_experiment_is_told(tmp_path):
    with pytest.raises(UserError, match="There is no experiment file"):
        read_values(tmp_path / "missing.yaml")
    (tmp_path / "other.yaml").write_text((ROOT / "config/tiny.yaml").read_text())
    with pytest.raises(UserError, match="'experiment' is 'tiny'; it must be the name of the file"):
        read_values(tmp_path / "other.yaml")
