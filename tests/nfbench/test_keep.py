"""Keeping a run where it is committed."""

import pandas as pd
import pytest
import yaml
from pandas.testing import assert_frame_equal

from nfbench.errors import UserError
from nfbench.keep import ROOT, devices, evaluate_claims, keep, kind_of, make_again
from nfbench.measurements import THIS_RUN, read_rows, row, write_rows
from tests.nfbench.report.rows import frame, quality, sampler, times


@pytest.fixture
def results(tmp_path):
    """A finished run of one measurement, with a table and a figure."""
    folder = tmp_path / "results/small"
    keys = {"origin": THIS_RUN, "experiment": "small", "sampler": "biflow", "seed": 0}
    made = {"device": "AMD EPYC", "precision": "fp32", "commit": "0123456789ab"}
    write_rows(folder / "measurements.csv", [row("fd", 1.5, space="effnet", **keys)], made)
    rows = [sampler("biflow", learned=True, quality=True, speed=True)]
    about = {"experiment": "small", "editing": None, "samplers": rows}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(about))
    (folder / "report/figures").mkdir(parents=True)
    (folder / "report/figures/training.png").write_text("an image")
    return tmp_path / "results"


def test_a_kept_run_says_that_it_is_a_reference_and_is_listed(results):
    folder = keep("small", results)
    assert folder.name == "small-cpu"
    assert read_rows(folder / "measurements.csv")["origin"].tolist() == ["reference small-cpu"]
    assert (folder / "table1.csv").is_file()
    assert (folder / "figures/training.png").is_file()
    keep("small", results)
    assert (results / "reference/index.txt").read_text() == "small-cpu\n"
    assert "not measured" in (results / "reference/claims/claims.md").read_text()


def test_kept_tables_are_made_again_from_their_measurements(results):
    folder = keep("small", results)
    before = (folder / "table1.csv").read_text()
    (folder / "table1.csv").write_text("of an older version")
    make_again(results / "reference/index.txt")
    assert (folder / "table1.csv").read_text() == before


def test_the_committed_claims_are_evaluated_on_the_committed_runs(tmp_path):
    committed = ROOT / "results/reference"
    evaluate_claims(committed / "index.txt", tmp_path)
    assert (tmp_path / "claims.md").read_text() == (committed / "claims/claims.md").read_text()
    for name in ("claims.csv", "claims_evidence.csv"):
        assert_frame_equal(pd.read_csv(tmp_path / name), pd.read_csv(committed / "claims" / name))


def test_the_numbers_in_the_readme_are_those_of_the_committed_run():
    table = pd.read_csv(ROOT / "results/reference/fashion14-cpu/table1.csv").set_index("sampler")
    inverse, fast, biflow = (
        table.loc[name] for name in ("sequential+denoise", "sequential-static+denoise", "biflow")
    )
    made_fast = f"{inverse.ms_per_image_batch1:.0f}, or {fast.ms_per_image_batch1:.0f} made fast"
    for found, time in ((inverse, made_fast), (biflow, f"{biflow.ms_per_image_batch1:.1f}")):
        line = f"| {found.nfe:.0f} | {found.fd_effnet:.0f}; {found.fd_classifier:.2f} | {time} |"
        assert line in (ROOT / "README.md").read_text()


def test_a_run_with_uncommitted_changes_is_not_kept(results):
    path = results / "small/measurements.csv"
    path.write_text(path.read_text().replace("0123456789ab", "0123456789ab+dirty"))
    with pytest.raises(UserError, match="uncommitted changes"):
        keep("small", results)
    assert not (results / "reference").exists()


def test_the_folder_is_called_after_the_device():
    assert kind_of(["NVIDIA H100 80GB HBM3"]) == "h100"
    assert kind_of(["Intel(R) Xeon(R) Processor"]) == "cpu"
    rows = frame(*quality("biflow", [1.0]), *times("biflow", [1.0], device="NVIDIA H100 80GB HBM3"))
    assert kind_of(devices(rows)) == "h100"  # its images may have been measured on a CPU
    assert kind_of(devices(rows[rows["metric"] == "fd"])) == "cpu"
    with pytest.raises(UserError, match="of one device"):
        kind_of(["NVIDIA H100 80GB HBM3", "AMD EPYC"])
