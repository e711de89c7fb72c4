"""Table 1: what is missing stays empty, and speed-ups name what they are against."""

import numpy as np
import pandas as pd
import pytest

import biflow  # noqa: F401 - registers the samplers that the table asks about
from nfbench.errors import UserError
from nfbench.report.tables import COLUMNS, Floors, Measured, join, table, write_csv, write_markdown

ORIGIN = {"device": "cpu x", "precision": "fp32", "commit": "12345678901e2"}


def quality(sampler, seed=0, frechet=10.0, **changes):
    space = {
        "frechet": frechet,
        "kid": 0.1,
        "kid_subset_size": 50,
        "n": 5000,
        "n_reference": 20000,
        "dim": 64,
        "rank_deficient": False,
    }
    samples = {
        "sampler": sampler,
        "seed": seed,
        "n": 5000,
        "non_finite": 0,
        "clipped": 7,
        "parameters": 400_000,
        "training": {"seconds": 30.0 + seed},
        "cost": {"nfe": 48.0, "score_evaluations": 0.0, "token_steps": 192.0, "sweeps": None},
        "settings": {},
        "provenance": ORIGIN,
        "model_provenance": ORIGIN,
    }
    row = {"samples": samples, "spaces": {"effnet": space, "classifier": space | {"dim": 8}}}
    return row | {"label_accuracy": 0.8, "reason": None, "provenance": ORIGIN} | changes


def speed(latency, batch):
    return [
        {"batch_size": 1, "median_s": latency, "busy": False},
        {"batch_size": 64, "median_s": batch, "busy": False},
    ]


def measured(name, latency, batch, **changes):
    fields = {
        "quality": [quality(name)],
        "inversion": [{"inversion_mse": None, "residual": None}],
        "reconstruction": [],
        "speed": speed(latency, batch),
    }
    return Measured(name, **(fields | changes))


RECONSTRUCTED = {
    "reconstruction_mse": 0.02,
    "scores": {"reconstruction": {"fd_effnet": 6.0, "fd_classifier": 2.0, "label_accuracy": 0.9}},
}
FLOORS = Floors(clean=[quality("floor", frechet=1.0)], noisy=[quality("floor-noisy", frechet=5.0)])
LIKELIHOOD = [{"nll_nats_per_dim": 0.05, "nll_limit": -0.2, "train_seconds": 100.0}]


@pytest.fixture
def samplers():
    return [
        measured("sequential", 0.100, 0.64),
        measured("sequential+denoise", 0.200, 1.28),
        measured("biflow", 0.004, 0.064, reconstruction=[RECONSTRUCTED]),
    ]


def test_spaces_that_a_loss_has_seen_are_told(samplers):
    training = {"seconds": 30.0, "seen_spaces": ["classifier"]}
    samples = quality("biflow")["samples"] | {"training": training}
    seeing = measured("biflow", 0.004, 0.064, quality=[quality("biflow", samples=samples)])
    rows = table("toy", [*samplers[:2], seeing], FLOORS, LIKELIHOOD)
    assert rows["seen_spaces"].fillna("").tolist() == ["", "", "classifier"]


def test_columns_and_one_row_per_sampler(samplers):
    rows = table("toy", samplers, FLOORS, LIKELIHOOD)
    assert list(rows.columns) == list(COLUMNS)
    assert rows["sampler"].tolist() == ["sequential", "sequential+denoise", "biflow"]
    assert rows["fd_effnet"].tolist() == [10.0] * 3
    assert rows["fd_effnet_floor"].tolist() == [1.0] * 3
    assert rows["fd_effnet_floor_noisy"].tolist() == [5.0] * 3
    assert rows["n_reference"].tolist() == [20000] * 3


def test_a_denoised_learned_sampler_s_reconstruction_is_the_denoised_one():
    scores = {"reconstruction": {"fd_effnet": 9.0, "fd_classifier": 7.0}, "denoised": {"fd_effnet": 4.0}}
    both = [{"reconstruction_mse": 0.05, "noisy_mse": 0.01, "denoised_mse": 0.02, "scores": scores}]
    contestants = [measured(name, 0.1, 0.64, reconstruction=both) for name in ("farmer", "farmer+denoise")]
    rows = table("toy", contestants, FLOORS, LIKELIHOOD)
    assert rows["reconstruction_mse"].tolist() == [0.05, 0.02]
    assert rows["fd_effnet_reconstruction"].tolist() == [9.0, 4.0]
    assert rows["fd_classifier_reconstruction"].isna().tolist() == [False, True]


def test_speedups_are_against_the_exact_inverse_with_the_same_kind_of_output(samplers):
    rows = table("toy", samplers, FLOORS, LIKELIHOOD).set_index("sampler")
    assert rows["speedup_baseline"].to_dict() == {
        "sequential": "sequential",
        "sequential+denoise": "sequential+denoise",
        "biflow": "sequential+denoise",
    }
    assert rows["speedup_batch1"].tolist() == pytest.approx([1, 1, 50])
    assert rows["speedup_batch64"].tolist() == pytest.approx([1, 1, 20])
    assert rows["ms_per_image_batch1"].tolist() == pytest.approx([100, 200, 4])
    assert rows["images_per_second_batch64"].tolist() == pytest.approx([100, 50, 1000])


def test_what_was_not_measured_is_empty(samplers):
    rows = table("toy", samplers, FLOORS, LIKELIHOOD).set_index("sampler")
    assert rows["train_seconds_reverse"].isna().tolist() == [True, True, False]
    assert rows["fd_effnet_std"].isna().all()
    samplers = [measured("sequential", 0.1, 0.64, speed=[]), *samplers[1:]]
    rows = table("toy", samplers, FLOORS, LIKELIHOOD).set_index("sampler")
    assert np.isnan(rows.loc["sequential", "ms_per_image_batch1"])
    assert np.isnan(rows.loc["sequential", "speedup_batch1"])
    assert rows.loc["biflow", "speedup_batch1"] == pytest.approx(50)


def test_a_set_with_non_finite_images_has_empty_quality_and_the_reason():
    reason = "2 of 5000 images are not finite"
    bad = quality("biflow", spaces={}, label_accuracy=None, reason=reason)
    bad["samples"]["non_finite"] = 2
    row = table("toy", [measured("biflow", 0.1, 0.1, quality=[bad])], FLOORS, LIKELIHOOD).iloc[0]
    assert row[["fd_effnet", "kid_effnet", "fd_classifier", "label_accuracy"]].isna().all()
    assert (row["non_finite"], row["notes"]) == (2, reason)
    assert row["fd_effnet_floor"] == 1.0


def test_seeds_give_mean_and_standard_deviation():
    runs = [quality("biflow", seed, frechet) for seed, frechet in enumerate([8.0, 10.0, 12.0])]
    row = table("toy", [measured("biflow", 0.1, 0.1, quality=runs)], FLOORS, LIKELIHOOD).iloc[0]
    assert (row["fd_effnet"], row["fd_effnet_std"], row["seeds"]) == (10.0, 2.0, "0 1 2")
    assert row["train_seconds_reverse"] == pytest.approx(31.0)
    assert row["clipped"] == 21


def test_rank_deficiency_and_a_busy_machine_are_noted():
    poor = quality("biflow")
    poor["spaces"]["effnet"] |= {"rank_deficient": True, "n": 100, "dim": 1280}
    busy = [row | {"busy": True} for row in speed(0.1, 0.1)]
    row = table("toy", [measured("biflow", 0, 0, quality=[poor], speed=busy)], FLOORS, LIKELIHOOD).iloc[0]
    assert "fd_effnet: n = 100 is under twice the 1280 features, no verdict" in row["notes"]
    assert "speed: the machine was busy" in row["notes"]


def test_a_row_made_in_several_places_names_them_all():
    run = quality("biflow", provenance=ORIGIN | {"device": "gpu y", "commit": "def"})
    rows = table("toy", [measured("biflow", 0.1, 0.1, quality=[run])], FLOORS, LIKELIHOOD)
    assert rows.iloc[0][["device", "commit"]].tolist() == ["cpu x; gpu y", "12345678901e2 def"]


def test_joined_tables_keep_empty_cells_empty(samplers, tmp_path):
    paths = []
    for name in ("a", "b"):
        paths.append(str(tmp_path / f"{name}.csv"))
        write_csv(paths[-1], table(name, samplers, FLOORS, LIKELIHOOD))
    rows = join(paths)
    assert rows["experiment"].tolist() == ["a"] * 3 + ["b"] * 3
    assert rows["commit"].tolist() == ["12345678901e2"] * 6  # a hash may look like a number
    write_markdown(tmp_path / "t.md", rows)
    text = (tmp_path / "t.md").read_text()
    assert "| train_seconds_reverse |  |  | 30 |  |  | 30 |" in text
    assert "fd_effnet_std" not in text
    assert "nan" not in text.lower().replace("nanm", "")


def test_a_missing_or_older_table_is_told(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv cannot be read"):
        join([str(tmp_path / "none.csv")])
    pd.DataFrame({"experiment": ["a"]}).to_csv(tmp_path / "old.csv", index=False)
    with pytest.raises(UserError, match=r"old\.csv is of another version"):
        join([str(tmp_path / "old.csv")])


def iterative(name, latency, tau, sweeps, inversion_mse):
    run = quality(name)
    run["samples"]["settings"] = {"tau": tau}
    run["samples"]["cost"] |= {"nfe": 9.0, "sweeps": sweeps}
    return measured(
        name,
        latency,
        0.64,
        quality=[run],
        inversion=[{"inversion_mse": inversion_mse, "residual": 0.1}],
    )


def test_an_iterative_inverse_tells_its_threshold_and_sweeps(samplers):
    jacobi = [
        iterative("jacobi+denoise", 0.05, 4e-6, [8.0, 10.0], 1e-13),
        iterative("jacobi@tuned+denoise", 0.02, 0.1, [4.0, 5.26], 1e-4),
    ]
    rows = table("toy", [*samplers, *jacobi], FLOORS, LIKELIHOOD)
    assert rows["sampler"].tolist()[3:] == ["jacobi+denoise"] * 2
    assert rows["variant"].tolist()[3:] == ["published", "tuned"]
    assert rows["variant"].isna().tolist()[:3] == [True] * 3
    assert rows["tau"].tolist()[3:] == [4e-6, 0.1]
    assert rows["sweeps"].tolist()[3:] == ["8.0 10.0", "4.0 5.3"]


def test_a_denoised_row_has_no_residual(samplers):
    raw, denoised = (iterative(name, 0.05, 4e-6, [8.0], 1e-13) for name in ("jacobi", "jacobi+denoise"))
    rows = table("toy", [*samplers, raw, denoised], FLOORS, LIKELIHOOD)
    assert rows["residual"].tolist()[3] == 0.1
    assert rows["residual"].isna().tolist()[4]


def test_an_iterative_inverse_is_a_speed_baseline_only_where_its_error_is_rounding(samplers):
    exact = iterative("jacobi+denoise", 0.05, 4e-6, [8.0], 1e-13)
    loose = iterative("jacobi@tuned+denoise", 0.02, 0.1, [4.0], 1e-4)
    rows = table("toy", [*samplers, exact, loose], FLOORS, LIKELIHOOD)
    assert rows["speedup_batch1"].tolist() == pytest.approx([1, 0.25, 12.5, 1, 2.5])
    baseline = "jacobi+denoise, published"
    assert rows["speedup_baseline"].tolist()[1:] == [baseline] * 4
    rows = table("toy", [*samplers, loose], FLOORS, LIKELIHOOD)
    assert rows["speedup_baseline"].tolist()[1:] == ["sequential+denoise"] * 3
