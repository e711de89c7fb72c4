"""Tables 2 and 3 from made-up measurements."""

import pytest

from nfbench.report.ablations import Arm, Published, comparison_table, in_words, pairs, verdict_table
from nfbench.report.tables import Floors, write_markdown

PROVENANCE = {"device": "a device", "precision": "fp32", "commit": "abc"}


def quality(seed, effnet, classifier, *, seen=(), n=5000):
    """Return what measure_quality writes, with given Frechet distances."""
    spaces = {
        name: {"frechet": value, "kid": value / 100, "kid_subset_size": 1000}
        | {"n": n, "n_reference": 20000, "dim": dim, "rank_deficient": n < 2 * dim}
        for name, value, dim in (("effnet", effnet, 1280), ("classifier", classifier, 64))
    }
    training = {"seconds": 60.0, "steps": 600, "seen_spaces": list(seen)}
    samples = {"seed": seed, "n": n, "guidance": 0.0, "parameters": 500_000, "training": training}
    samples |= {"cost": {"nfe": 1.0, "score_evaluations": 0}, "non_finite": 0, "clipped": 3}
    samples |= {"model_provenance": PROVENANCE, "provenance": PROVENANCE}
    return {"samples": samples, "spaces": spaces, "label_accuracy": 0.7, "reason": None} | {
        "provenance": PROVENANCE
    }


def arm(name, effnet, classifier, paper=None, base=None, described=None, **options):
    rows = [quality(seed, *pair, **options) for seed, pair in enumerate(zip(effnet, classifier, strict=True))]
    numbers = [None if number is None else Published(f"id-{number}", number) for number in (paper, base)]
    return Arm(name, described or {"title": name}, rows, [0.02] * len(rows), *numbers)


@pytest.fixture
def base():
    return arm(
        "biflow", [300, 310, 305], [2.6, 2.7, 2.65], paper=36.9, described={"title": "b", "factor": "none"}
    )


@pytest.fixture
def floors():
    rows = [quality(seed, 28, 0.1) for seed in range(3)]
    return Floors(rows, rows)


def test_effects_are_the_row_minus_the_base_seed_by_seed(base, floors):
    other = arm("biflow-naive", [390, 402, 396], [2.5, 2.8, 2.65], paper=43.4, base=36.9)
    rows = comparison_table("made-up", 2, [other, base], base, floors)
    row = rows.iloc[0]
    assert row["effect_fd_effnet"] == pytest.approx(91)
    assert row["verdict_fd_effnet"] == "holds"  # published worse, measured worse
    assert row["verdict_fd_classifier"] == "not resolved"
    assert row["fd_effnet_floor"] == 28
    assert (row["paper_fid"], row["paper_base_fid"]) == (43.4, 36.9)
    assert rows.loc[1, ["effect_fd_effnet", "verdict_fd_effnet", "compared_with"]].isna().all()


def test_the_error_of_noisy_images_is_not_told_of_those_that_are_denoised_afterwards(base, floors):
    arms = [arm(name, [1, 2, 3], [1, 2, 3]) for name in ("farmer", "farmer+denoise")]
    rows = comparison_table("made-up", 2, [*arms, base], base, floors)
    assert rows["validation_reconstruction_mse"].isna().tolist() == [False, True, False]
    assert rows["train_seconds_reverse"].tolist() == [60.0] * 3


def test_a_space_that_a_loss_has_seen_judges_nothing_and_the_other_does(base, floors):
    described = {"factor": "distance", "change": "features"}
    seeing = arm("biflow@x", [100, 110, 105], [2, 2.1, 2.05], 14, 31, described, seen=["effnet"])
    row = comparison_table("made-up", 3, [base, seeing], base, floors).iloc[1]
    assert row["seen_spaces"] == "effnet"
    assert row["verdict_fd_effnet"] == "no verdict: the loss of biflow@x has seen these features"
    assert row["verdict_kid_effnet"] == row["verdict_fd_effnet"]
    assert row["verdict_fd_classifier"] == "holds"


def test_too_few_images_leave_the_frechet_distance_without_a_verdict_but_not_the_kernel_distance(base):
    few = [arm(name, [300, 310, 305], [2, 2, 2], n=400) for name in ("biflow", "biflow-naive")]
    more = arm("farmer", [400, 412, 406], [2, 2, 2], n=400)
    verdicts = verdict_table(pairs([more, few[0]], few[0]))
    words = dict(zip(verdicts["measure"], verdicts["verdict"], strict=True))
    assert words["fd_effnet"] == "no verdict: too few images for this many features"
    assert words["kid_effnet"] == "higher"


def test_a_set_that_was_not_measured_shows_as_such(base, floors):
    broken = arm("biflow-naive", [1, 1, 1], [1, 1, 1], paper=43.4, base=36.9)
    broken.quality[1]["spaces"] = {}
    row = comparison_table("made-up", 2, [broken, base], base, floors).iloc[0]
    assert row["verdict_fd_effnet"] == "not measured"
    assert row[["fd_effnet", "effect_fd_effnet", "p_fd_effnet"]].isna().all()


def test_objectives_are_all_compared_and_ablations_with_the_base_and_within_their_factor(base):
    other = [arm(name, [1, 2, 4], [1, 2, 3], paper, 36.9) for name, paper in (("a", 44), ("b", 55))]
    found = pairs([other[0], base, other[1]], base)
    assert [(first.contestant, second.contestant) for first, second, _ in found] == [
        *(("a", "biflow"), ("a", "b"), ("b", "biflow"))
    ]
    assert [published for *_, published in found] == pytest.approx([7.1, -11, 18.1])
    factors = [("u", "norm"), ("v", "norm"), ("w", "loss")]
    ablations = [arm(n, [1, 2, 3], [1, 2, 3], described={"factor": f, "change": ""}) for n, f in factors]
    found = pairs([base, *ablations], base)
    assert [(first.contestant, second.contestant) for first, second, _ in found] == [
        *(("u", "biflow"), ("v", "biflow"), ("w", "biflow")),
        ("u", "v"),
    ]


def test_the_verdicts_read_as_sentences(base, floors, tmp_path):
    other = arm("biflow-naive", [390, 402, 396], [2.5, 2.8, 2.65], paper=43.4, base=36.9)
    words = in_words(verdict_table(pairs([other, base], base)))
    assert len(words) == 1
    assert words[0].startswith("biflow-naive above biflow, as published: fd_effnet holds (+91 ± 1")
    assert "fd_classifier not resolved (" in words[0]
    table = comparison_table("made-up", 2, [other, base], base, floors)
    write_markdown(tmp_path / "t.md", table, words)
    assert f"- {words[0]}" in (tmp_path / "t.md").read_text()
