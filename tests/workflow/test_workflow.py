"""The real workflow on the tiny experiment."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
import yaml

from nfbench.report.tables import COLUMNS
from tests.workflow.runner import TINY, command, rules_to_run, snakemake


def test_everything_promised_is_there(finished):
    results = finished / "results"
    rows = pd.read_csv(results / "table1.csv")
    assert list(rows.columns) == list(COLUMNS)
    assert rows["sampler"].tolist() == ["sequential", "sequential+denoise", "gs-jacobi", "biflow"]
    assert rows["variant"].fillna("").tolist() == ["", "", "tuned", ""]
    assert rows["tau"].notna().tolist() == [False, False, True, False]
    assert len(rows["sweeps"][2].split()) == 3  # flow blocks
    measured = [
        "fd_classifier",
        "fd_classifier_floor",
        "fd_classifier_floor_noisy",
        "label_accuracy",
        "nll_nats_per_dim",
    ]
    measured += ["ms_per_image_batch1", "images_per_second_batch64", "speedup_batch1", "commit"]
    assert rows[measured].notna().all(axis=None)
    assert rows["nfe"].tolist()[:2] + rows["nfe"].tolist()[3:] == [15, 15, 1]
    assert 1 < rows["nfe"][2] < 15
    assert rows["fd_classifier_std"].isna().all()  # one seed has no spread
    assert rows["fd_effnet"].isna().all()  # tiny.yaml leaves this space out
    assert rows["inversion_mse"].notna().tolist() == [False, False, True, True]  # the first is the truth
    assert rows["residual"].notna().tolist() == [True, False, True, False]
    assert rows["n_samples"].eq(100).all()
    assert (results / "table1.md").read_text().count("\n") > 20
    page = (results / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 11
    assert "Quality and speed: tiny" in page
    figures = sorted(path.name for path in (results / "figures/tiny").iterdir())
    names = ["front", "nearest", "quality_speed", "sample_size", "samples", "sweeps", "training"]
    names += ["trajectory", "inpainting", "class_editing", "guidance"]
    assert figures == sorted(f"{name}.{suffix}" for name in names for suffix in ("png", "pdf"))
    assert not list(results.rglob("*.resume.pt"))


def test_the_plan_and_the_threshold_are_written_down(finished):
    sample = finished / "results/tiny/sample"
    plan = json.loads((sample / "plan/seed0.json").read_text())
    assert [set(block) for block in plan["plan"]] == [{"modules", "guess"}] * 3
    assert all(block["crm"] > 0 for block in plan["difficulty"])
    tuning = json.loads((sample / "tuning/gs-jacobi.json").read_text())
    tried = [trial["tau"] for trial in tuning["trials"]]
    assert tried == [0.1, 0.01, 0.001][: len(tried)]
    assert tuning["tau"] in (None, tried[-1])
    with np.load(sample / "gs-jacobi@tuned/seed0.npz") as file:
        settings = json.loads(str(file["meta"]))["settings"]
    assert settings["plan"] == plan["plan"]
    assert settings["tau"] == (tuning["tau"] or pytest.approx(4e-6))


def test_edited_images_are_measured_for_the_exact_inverse_and_the_learned_reverse(finished):
    rows = pd.read_csv(finished / "results/tiny/report/editing.csv")
    assert rows["sampler"].tolist() == ["sequential-static+denoise", "biflow"] * 4
    masks = [mask for mask in ("centre", "right-half", "random-tokens") for _ in range(2)]
    assert rows["mask"].tolist()[:6] == masks
    assert rows["mask"].isna().tolist()[6:] == [True, True]
    assert rows["leak"].tolist()[:6] == rows["kept_mse_pasted"].tolist()[:6] == [0.0] * 6
    assert rows["n"].eq(40).all()


def test_guidance_is_drawn_and_told_against_none(finished):
    rows = pd.read_csv(finished / "results/tiny/report/guidance.csv")
    assert rows["contestant"].tolist() == ["sequential-static+denoise"] * 2
    assert rows["scale"].tolist() == [0, 1]
    assert rows["effect_fd_classifier"].notna().tolist() == [False, True]
    assert rows["p_fd_classifier"].isna().all()  # one seed
    assert rows["nfe"].tolist() == [15, 30]


def test_logs_show_the_progress_of_the_training(finished):
    log = (finished / "results/tiny/logs/train_forward/forward/seed0.log").read_text()
    assert "images/s" in log
    assert "validation_nll_nats_per_dim" in log


def test_a_second_run_does_nothing(finished):
    done = snakemake(finished)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_the_exact_inverse_sends_samples_back_to_their_noise(finished):
    path = finished / "results/tiny/measure/inversion/sequential/seed0.json"
    assert json.loads(path.read_text())["residual"] < 1e-4


def test_the_reference_folder_holds_table_figures_and_manifest(finished):
    target = "results/reference/tiny-cpu/manifest.json"
    done = snakemake(finished, target)
    assert done.returncode == 0, done.stderr
    folder = (finished / target).parent
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) >= {"table1.csv", "table1.md", "figures/samples.png"}
    assert all((folder / name).is_file() for name in manifest["files"])
    assert manifest["config"]["experiment"] == "tiny"


def test_a_changed_setting_runs_what_depends_on_it_and_no_more(finished, tmp_path):
    values = yaml.safe_load(TINY.read_text())
    values["quality"]["kid_subsets"] = 6  # was 5
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(values))
    done = snakemake(finished, "-n", config=config)
    assert done.returncode == 0
    rules = rules_to_run(done.stdout + done.stderr)
    assert {"measure_quality", "report_table", "report_page", "join_tables"} <= rules
    assert not {"train_forward", "train_reverse", "draw_samples", "measure_speed"} & rules


def test_rule_names_tell_the_story(tmp_path):
    done = snakemake(tmp_path, "-n", "results/table1.csv")
    assert rules_to_run(done.stdout + done.stderr) == {
        *("train_forward", "train_reverse", "train_classifier", "draw_samples", "draw_floor"),
        *(
            "plan_modules",
            "tune_tau",
            "denoise_samples",
            "measure_reference",
            "measure_quality",
            "measure_inversion",
        ),
        *("measure_reconstruction", "measure_likelihood", "measure_speed"),
        *("report_table", "join_tables"),
    }


def test_tables_2_and_3_compare_what_the_experiment_trains(finished, tmp_path):
    values = yaml.safe_load(TINY.read_text())
    values["ablations"] = ["two-evaluations"]  # of a model that is trained already
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(values))
    tables = [f"results/table{number}.csv" for number in (2, 3)]
    done = snakemake(finished, *tables, config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    objectives, ablations = (pd.read_csv(finished / path) for path in tables)
    assert objectives["sampler"].tolist() == ["sequential", "sequential+denoise", "biflow"]
    assert objectives["paper_fid"].notna().all()
    assert ablations["variant"].fillna("").tolist() == ["", "two-evaluations"]
    assert ablations["nfe"].tolist() == [1, 2]
    base, variant = ablations["fd_classifier"]
    assert ablations["effect_fd_classifier"][1] == pytest.approx(variant - base)
    assert ablations["verdict_fd_classifier"][1] == "no verdict: too few images for this many features"
    words = (finished / "results/table3.md").read_text()
    assert "- biflow@two-evaluations below biflow, as published: " in words


def test_a_report_carries_the_table_and_every_figure_with_its_caption(finished, tmp_path):
    done = snakemake(finished, "--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    for words in ("One row per experiment and sampler", "Nothing is selected", "would be memorised"):
        assert words in page


def test_a_training_that_is_killed_leaves_nothing_half_written_and_runs_again(tmp_path):
    values = yaml.safe_load(TINY.read_text())
    values["forward"]["training"]["steps"] = 1_000_000
    del values["budget"]  # of flows that train for longer
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(values))
    target = "results/tiny/forward/seed0.safetensors"
    log = tmp_path / "results/tiny/logs/train_forward/forward/seed0.log"
    running = subprocess.Popen(
        command(tmp_path, target, config=config),
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
    assert running.returncode != 0
    assert not list((tmp_path / "results/tiny/forward").glob("*"))
    again = snakemake(tmp_path, "-n", target, "--unlock", config=config)
    assert again.returncode == 0
    again = snakemake(tmp_path, "-n", target, config=config)
    assert again.returncode == 0, again.stderr
    assert "train_forward" in rules_to_run(again.stdout + again.stderr)


def test_corrupt_files_stop_their_rules_with_a_sentence(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    results = folder / "results/tiny"
    for broken in ("forward/seed0.safetensors", "sample/biflow/seed0.npz"):
        path = results / broken
        written = path.stat().st_mtime
        path.write_bytes(path.read_bytes()[:200])
        os.utime(path, (written, written))  # or Snakemake would make the files after it again
    targets = ["measure/likelihood/seed0.json", "measure/quality/biflow/seed0.json"]
    for target in targets:
        (results / target).unlink()
    paths = [f"results/tiny/{target}" for target in targets]
    done = snakemake(folder, *paths, "--rerun-triggers", "mtime", "--keep-going")
    assert done.returncode != 0
    assert "error: Checkpoint results/tiny/forward/seed0.safetensors is corrupt" in done.stderr
    assert "error: results/tiny/sample/biflow/seed0.npz is no sample set or is corrupt" in done.stderr
    assert "a defect in the suite" not in done.stderr
    assert not any((results / target).exists() for target in targets)
