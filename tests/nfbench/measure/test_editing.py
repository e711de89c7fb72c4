"""Scores of edited images, on images whose scores are known."""

import math

import pytest
import torch

from nfbench.data.pixels import to_float
from nfbench.data.tokens import right_half
from nfbench.measure.editing import (
    CLASS_EDITING,
    INPAINTING,
    class_editing_scores,
    editing_rows,
    inpainting_scores,
    largest_change,
    masked_mse,
    shares,
)
from nfbench.measure.quality.classifier import predict

HIDDEN = right_half(8)


@pytest.fixture
def real(digits, classifier):
    """Return 50 test images and the classes that the classifier takes them for."""
    images = digits.test.images[:50]
    return to_float(images), torch.from_numpy(predict(classifier, images))


def test_the_masked_error_is_the_mean_square_over_the_pixels_that_count():
    a = torch.zeros(2, 2, 8, 8)
    b = torch.where(HIDDEN, 0.5, 3.0).expand_as(a)
    assert masked_mse(a, b, HIDDEN).tolist() == [0.25, 0.25]
    assert masked_mse(a, b, ~HIDDEN).tolist() == [9.0, 9.0]
    each = torch.stack([HIDDEN, ~HIDDEN])[:, None]
    assert masked_mse(a, b, each).tolist() == [0.25, 9.0]
    assert masked_mse(a, b, torch.ones(8, 8, dtype=torch.bool)).tolist() == [4.625, 4.625]


def test_no_pixel_that_counts_is_refused():
    images = torch.zeros(2, 1, 8, 8)
    with pytest.raises(ValueError, match="no pixel"):
        masked_mse(images, images, torch.zeros(8, 8, dtype=torch.bool))


def test_shares_are_those_of_the_8_bit_images(real, classifier):
    images, found = real
    wanted = {"all": found, "half": torch.where(torch.arange(50) < 25, found, (found + 1) % 10)}
    assert shares(classifier, images * 1.0, wanted) == {"all": 1.0, "half": 0.5}


def test_a_perfect_inpainting_has_no_error_and_every_label(real, classifier):
    images, labels = real
    scores = inpainting_scores(classifier, images, labels, HIDDEN, images, images)
    assert set(scores) == {*INPAINTING, "non_finite"}
    assert {value for name, value in scores.items() if "mse" in name} == {0.0}
    assert scores["label_accuracy_edited"] == scores["label_accuracy_pasted"] == 1.0
    assert scores["non_finite"] == 0


def test_kept_and_hidden_errors_are_told_apart_with_mean_and_median(real, classifier):
    images, labels = real
    shift = torch.full((50, 1, 1, 1), 0.1)
    shift[0] = 10.0  # one image runs away
    raw = torch.where(HIDDEN, images + shift, images + 0.5)
    scores = inpainting_scores(classifier, images, labels, HIDDEN, raw, images)
    assert scores["kept_mse"] == pytest.approx(0.25)
    assert scores["kept_mse_pasted"] == 0.0
    assert scores["hidden_mse"] == pytest.approx((100 + 49 * 0.01) / 50)
    assert scores["hidden_mse_median"] == pytest.approx(0.01, rel=1e-5)


def test_edited_images_are_counted_for_the_new_class_and_the_old(real, classifier):
    images, found = real
    unchanged = class_editing_scores(classifier, images, found, (found + 1) % 10, images)
    assert set(unchanged) == {*CLASS_EDITING, "non_finite"}
    assert (unchanged["label_accuracy_edited"], unchanged["kept_class_share"]) == (0.0, 1.0)
    changed = class_editing_scores(classifier, images.flip(0), found, found.flip(0), images.flip(0))
    assert (changed["label_accuracy_edited"], changed["kept_mse"]) == (1.0, 0.0)


def test_a_result_that_is_not_finite_has_flags_in_place_of_scores(real, classifier):
    images, labels = real
    raw = images.clone()
    raw[3, 0, 2, 2] = math.nan
    inpainted = inpainting_scores(classifier, images, labels, HIDDEN, raw, raw)
    edited = class_editing_scores(classifier, images, labels, labels, raw)
    for scores, names in ((inpainted, INPAINTING), (edited, CLASS_EDITING)):
        rows = {row["metric"]: row for row in editing_rows(scores, n=50, task="class-editing")}
        assert rows.pop("non_finite")["value"] == 1
        assert set(rows) == set(names)
        assert {(row["value"], row["flag"]) for row in rows.values()} == {(None, "non_finite")}


def test_rows_have_the_columns_that_they_are_given():
    (found,) = editing_rows({"leak": 0.0}, n=5, task="inpainting centre", sampler="biflow")
    columns = {"sampler": "biflow", "task": "inpainting centre", "n": 5}
    assert found == {"metric": "leak", "value": 0.0} | columns


def test_the_largest_change_is_absolute_and_shows_what_is_not_a_number():
    a = torch.zeros(2, 1, 2, 2)
    b = a.clone()
    b[1, 0, 1, 0] = -0.5
    assert largest_change(a, b) == 0.5
    assert math.isnan(largest_change(a, b * math.nan))
