"""The real workflow on the tiny experiment."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import yaml

from nfbench.measurements import THIS_RUN, read_rows
from tests.workflow.runner import ROOT, command, rules_to_run, snakemake

ROWS = [
    *("real", "sequential", "sequential+denoise"),
    *("gs-jacobi@tolerance=0.1", "gs-jacobi@tolerance=tuned", "biflow"),
]


@pytest.fixture(scope="module")
def rows(finished):
    return read_rows(finished / "results/tiny/measurements.csv")


@pytest.fixture(scope="module")
def table(finished):
    return pd.read_csv(finished / "results/table1.csv").set_index("sampler")


def test_a_training_that_is_killed_leaves_nothing_half_written_and_runs_again(tmp_path):
    target = "results/tiny/flows/flow/seed0.safetensors"
    endless = ("--config", "flows={flow: {training: {steps: 1000000}}}")
    log = tmp_path / "results/tiny/logs/train_flow/flow/seed0.log"
    running = subprocess.Popen(
        command(tmp_path, target, *endless),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (log.is_file() and "step" in log.read_text()):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert not list((tmp_path / "results/tiny/flows/flow").glob("*"))
    assert snakemake(tmp_path, "-n", target, "--unlock").returncode == 0
    again = snakemake(tmp_path, "-n", target)
    assert again.returncode == 0, again.stderr
    assert "train_flow" in rules_to_run(again.stdout + again.stderr)


def test_table_1_has_a_row_a_sampler_with_quality_speed_and_cost(table):
    assert list(table.index) == ROWS
    drawn = table.drop("real")
    measured = ["fd_classifier", "label_accuracy", "nll_nats_per_dim", "commit"]
    assert drawn[measured].notna().all(axis=None)
    assert drawn["ms_per_image_batch1"].notna().sum() == len(drawn) - 1  # sequential+denoise is not timed
    assert drawn["nfe"].drop([n for n in drawn.index if "jacobi" in n]).tolist() == [15, 15, 1]
    assert table["fd_effnet"].isna().all()  # tiny.yaml leaves this space out
    assert table["fd_classifier_std"].isna().all()  # one seed has no spread
    assert table["n_samples"].eq(140).all()
    assert table["fd_classifier_real"].nunique() == 1


def test_images_are_compared_with_the_exact_inverse_of_the_same_flow_and_kind(table, rows):
    assert table["inversion_mse"].notna()[["gs-jacobi@tolerance=0.1", "biflow"]].all()
    assert table["inversion_mse"].isna()[["real", "sequential"]].all()  # real, or a truth
    residual = rows[rows["metric"] == "residual"].set_index("sampler")["value"]
    assert residual["sequential"] < 1e-4
    assert set(residual.index) == {"sequential", "gs-jacobi@tolerance=0.1", "gs-jacobi@tolerance=tuned"}


def test_the_numbers_are_those_of_the_same_code_before(rows):
    """Distances of tiny, so that a changed number is noticed; the tolerances are for other CPUs."""
    expected = yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text())
    found = rows[rows["metric"].isin(["fd", "label_accuracy", "nll_nats_per_dim"])]
    found = {f"{row.sampler} {row.metric}": row.value for row in found.itertuples()}
    few = 4 / 140  # images that another CPU's rounding may move to another class
    assert found == {
        name: pytest.approx(value, rel=0.05, abs=few if name.endswith("label_accuracy") else None)
        for name, value in expected.items()
    }


def test_checkpoints_make_rows_with_a_step(rows):
    early = rows[(rows["sampler"] == "biflow@step=30") & (rows["metric"] == "fd")]
    assert early["step"].tolist() == [30]
    assert early["value"].notna().all()
    budget = rows[(rows["metric"] == "train_seconds") & (rows["sampler"] == "biflow")]
    assert budget["step"].tolist() == [20, 30, 40, 60]


def test_every_measurement_says_where_it_comes_from(finished, rows):
    assert set(rows["origin"]) == {THIS_RUN}
    assert (rows[["device", "precision", "source", "sha256"]] != "").all(axis=None)
    assert all((finished / "results" / source).is_file() for source in rows["source"].unique())
    joined = read_rows(finished / "results/measurements.csv")
    assert {"this run", "reference fashion14-ablations-cpu"} <= set(joined["origin"])


def test_speed_is_measured_in_processes_with_an_a_a_replicate(rows):
    timed = rows[rows["metric"].str.startswith("ms_per_image")]
    assert set(timed["batch_size"]) == {1, 8}
    assert set(timed["metric"]) == {"ms_per_image", "ms_per_image_replicate"}
    assert set(timed["sampler"]) == {
        *("sequential", "gs-jacobi@tolerance=0.1", "gs-jacobi@tolerance=tuned", "biflow")
    }


def test_edited_images_are_measured_for_the_exact_inverse_and_the_learned_reverse(rows):
    kept = rows[rows["metric"] == "kept_mse"]
    assert set(kept["sampler"]) == {"sequential-static+denoise", "biflow"}
    assert set(kept["task"]) == {
        *(f"inpainting {m}" for m in ("centre", "right-half", "random-tokens")),
        "class-editing",
    }
    assert rows[rows["metric"] == "leak"]["value"].eq(0).all()


def test_pages_and_figures_are_there(finished):
    report = finished / "results/tiny/report"
    images = {path.stem for path in (report / "images").glob("*.png")}
    assert images == {"samples", "nearest", "trajectory", "inpainting", "class_editing"}
    charts = {path.stem for path in (report / "figures").glob("*.png")}
    assert charts >= {"quality_speed", "sample_size", "training", "speedup", "tolerance", "training_time"}
    for page in (report / "report.html", finished / "results/report.html"):
        assert page.read_text().count("data:image/png;base64,") == len(images | charts)
    assert not list((finished / "results").rglob("*.resume.pt"))


def test_a_run_ends_with_where_its_time_went(finished):
    log = (finished / "snakemake.log").read_text()
    assert re.search(r"^\d+ jobs took \d+ s together", log, re.MULTILINE)
    assert re.search(r"^train_flow +1 ", log, re.MULTILINE)


def test_a_second_run_does_nothing(finished):
    done = snakemake(finished)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_copy_with_new_times_and_without_snakemake_s_records_plans_nothing(finished, tmp_path):
    shutil.copytree(finished / "results", tmp_path / "results", copy_function=shutil.copyfile)
    done = snakemake(tmp_path, "-n")
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


def test_every_number_is_traced_and_a_changed_one_is_told(finished, tmp_path):
    shutil.copytree(finished / "results", tmp_path / "results")
    verify = [sys.executable, "-m", "nfbench.verify", str(tmp_path / "results")]
    done = subprocess.run(verify, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    table = tmp_path / "results/table1.csv"
    table.write_text(table.read_text().replace(",140,", ",141,", 1))
    path = tmp_path / "results/tiny/measure/quality/biflow/seed0.csv"
    path.write_text(path.read_text().replace("1", "2", 1))
    done = subprocess.run(verify, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "141; the measurements give 140" in done.stdout
    assert "quality/biflow/seed0.csv has changed" in done.stdout


def test_a_changed_setting_runs_what_depends_on_it_and_no_more(finished):
    done = snakemake(finished, "-n", "--config", "quality={kid_subsets: 6}")
    assert done.returncode == 0, done.stderr
    rules = rules_to_run(done.stdout + done.stderr)
    assert {"measure_quality", "collect_measurements", "report_tables", "report_page"} <= rules
    assert not {"train_flow", "train_reverse", "draw_samples", "measure_speed", "measure_reference"} & rules


def test_corrupt_files_stop_their_rules_with_a_sentence(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    results = folder / "results/tiny"
    for broken in ("flows/flow/seed0.safetensors", "samples/real/seed0.npz"):
        path = results / broken
        path.write_bytes(path.read_bytes()[:200])
    targets = ["measure/likelihood/flow/seed0.csv", "measure/quality/real/seed0.csv"]
    for target in targets:
        (results / target).unlink()
    done = snakemake(folder, *(f"results/tiny/{target}" for target in targets), "--keep-going")
    assert done.returncode != 0
    assert "error: Checkpoint results/tiny/flows/flow/seed0.safetensors is corrupt" in done.stderr
    assert "error: results/tiny/samples/real/seed0.npz is no sample set or is corrupt" in done.stderr
    assert "a defect in the suite" not in done.stderr
    assert not any((results / target).exists() for target in targets)
