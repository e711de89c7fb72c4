"""Tables made a second time from their files, after they went through CSV."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from nfbench.measure.budget import budget_table, write_curve
from nfbench.provenance import commit
from nfbench.report.paper_numbers import read_paper_numbers
from nfbench.report.table4 import table4
from nfbench.report.tables import write_csv
from nfbench.trace.manifest import traced
from nfbench.trace.remake import as_text, differences, remake
from nfbench.train.resumable import Place

ROOT = Path(__file__).parents[3]
SPEED = str(ROOT / "results/reference/fashion14-cpu/speed.csv")


@pytest.fixture
def budget(tmp_path):
    """A table of the budget, with its recipe."""
    place = Place(torch.device("cpu"), "fp32")
    for steps in (30, 99):
        row = {"step": steps, "seconds": float(steps), "fd_a": 100 / 3 / steps}
        write_curve(tmp_path / f"flow{steps}.json", [row], place)
    row = {"seconds": 50.0, "fd_a": 20.0}
    write_curve(tmp_path / "arm.json", [row], place, arm="fast", flow_steps=30, seen_spaces="b")
    write_curve(tmp_path / "floor.json", [{"fd_a": 1.0}], place, n_samples=130)
    *flows, arm, floor = (str(tmp_path / f"{name}.json") for name in ("flow30", "flow99", "arm", "floor"))
    rows = pd.DataFrame(budget_table(flows, [arm], floor, ["a"])[2])
    files = {"flows": flows, "arms": [arm], "floor": [floor]}
    return rows, {"kind": "budget", "spaces": ["a"], "files": files}


@pytest.fixture
def speeds():
    """Table 4 of the committed speeds, with its recipe."""
    recipe = {"kind": "table4", "commit": commit(), "files": {"tables": [SPEED], "references": [SPEED]}}
    return table4([SPEED], [SPEED], read_paper_numbers(), recipe["commit"]), recipe


@pytest.mark.parametrize("table", ["budget", "speeds"])
def test_a_table_is_made_again_from_its_files_and_a_changed_cell_is_found(tmp_path, request, table):
    rows, recipe = request.getfixturevalue(table)
    path = tmp_path / f"{table}.csv"
    write_csv(path, rows)
    assert set(traced(path, recipe, tmp_path)["files"])
    made = remake(recipe, ROOT)[""]
    assert differences(path.name, as_text(path), made) == []
    kept = as_text(path)
    column = "distance" if table == "budget" else "ms_per_image"
    kept.loc[0, column] = "1.5"
    (told,) = differences(path.name, kept, made)
    assert f"column {column}: the table says 1.5, its files give" in told
