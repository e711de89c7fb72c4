"""The task of editing held-out images is the same for every sampler, and is measured as it is done."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines import TarFlow, make_sampler
from biflow.editing import edit_class
from biflow.held_out_edits import (
    MASKS,
    choose,
    edited,
    held_out_edits,
    inpainted,
    measure_class_editing,
    measure_inpainting,
    references,
)
from biflow.training import held_out_path
from nfbench.data.datasets import Dataset
from nfbench.errors import UserError
from nfbench.measure.quality.classifier import ClassifierSpec, DomainClassifier


@pytest.fixture
def held_out():
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    return Dataset("toy/test", images, np.arange(40, dtype=np.int64) % 4, ("a", "b", "c", "d"))


@pytest.fixture
def flow(flow):
    """Return a flow of images of 4x4 tokens, of which a hidden centre leaves some."""
    torch.manual_seed(0)
    flow = TarFlow(replace(flow.spec, image_size=8))
    for block in flow.blocks:
        torch.nn.init.normal_(block.proj_out.weight, std=0.05)
    return flow.eval().requires_grad_(False)


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return DomainClassifier(ClassifierSpec(channels=1, image_size=8, n_classes=4, width=4)).eval()


def test_what_image_i_is_given_depends_on_its_number_and_the_seed_alone(flow, held_out):
    whole = held_out_edits(held_out, range(40), flow.spec, seed=1)
    some = [31, 2, 17]
    few = held_out_edits(held_out, some, flow.spec, seed=1)
    other_seed = held_out_edits(held_out, some, flow.spec, seed=2)
    for name, value in vars(few).items():
        assert torch.equal(value, getattr(whole, name)[some]), name
        same = name not in ("hidden", "redrawn")
        assert torch.equal(value, getattr(other_seed, name)) == same, name


def test_training_noise_is_that_of_the_reconstruction_error(flow, held_out):
    path, y = held_out_path(flow, held_out, range(5))
    edits = held_out_edits(held_out, range(5), flow.spec, seed=1)
    noisy = edits.images + flow.spec.sigma * edits.training
    torch.testing.assert_close(flow.encode(noisy, y).z, path.z)


def test_targets_are_never_the_own_class_and_reach_every_other(flow, held_out):
    edits = held_out_edits(held_out, range(40), flow.spec, seed=0)
    pairs = set(zip(edits.labels.tolist(), edits.targets.tolist(), strict=True))
    assert pairs == {(a, b) for a in range(4) for b in range(4) if a != b}
    assert edits.targets[6] == (held_out.labels[6] + 1 + 6 % 3) % 4


@pytest.mark.parametrize("mask", MASKS)
def test_masks_hide_some_of_every_image_and_leave_tokens_known(flow, held_out, mask):
    edits = held_out_edits(held_out, range(40), flow.spec, seed=0)
    hidden = edits.mask(mask, flow.spec.patch_size)
    assert hidden.shape == (40, 1, 8, 8)
    assert (hidden.flatten(1).unique(dim=0).shape[0] > 1) == (mask == "random-tokens")
    spread = inpainted(edits, mask, flow, make_sampler("sequential-static", flow))
    assert spread.shape == edits.images.shape


def test_batches_change_no_image(flow, held_out, monkeypatch):
    edits = held_out_edits(held_out, range(10), flow.spec, seed=0)
    inverse = make_sampler("sequential-static+denoise", flow)
    whole = [inpainted(edits, mask, flow, inverse) for mask in MASKS]
    monkeypatch.setattr("biflow.held_out_edits.BATCH_SIZE", 3)
    for mask, expected in zip(MASKS, whole, strict=True):
        torch.testing.assert_close(inpainted(edits, mask, flow, inverse), expected, rtol=0, atol=1e-4)


def test_images_are_shown_as_their_targets_or_as_the_named_class(flow, held_out):
    edits = held_out_edits(held_out, range(6), flow.spec, seed=0)
    inverse = make_sampler("sequential", flow)
    for to, y_to in ((None, edits.targets), (2, torch.full((6,), 2))):
        expected = edit_class(flow, inverse, edits.images, edits.labels, y_to, edits.training)
        assert torch.equal(edited(edits, flow, inverse, to), expected)


@pytest.mark.parametrize("name", ["sequential-static+denoise", "biflow"])
def test_nothing_leaks_and_pasting_leaves_no_error(flow, build_model, held_out, classifier, name):
    sampler = make_sampler(name, build_model(image_size=8).float() if name == "biflow" else flow)
    edits = held_out_edits(held_out, range(12), flow.spec, seed=0)
    for mask in MASKS:
        row = measure_inpainting(edits, mask, flow, sampler, classifier)
        assert row["leak"] == row["kept_mse_pasted"] == 0
        assert min(row["kept_mse"], row["hidden_mse"]) > 0
    row = measure_class_editing(edits, flow, sampler, classifier)
    assert row["label_accuracy_edited"] + row["kept_class_share"] <= 1
    assert "leak" not in row  # nothing is hidden


def test_a_sampler_that_sees_hidden_pixels_is_found_out(flow, held_out, classifier, monkeypatch):
    def leaking(flow, sampler, images, hidden, y, noise):
        return images

    monkeypatch.setattr("biflow.held_out_edits.inpaint", leaking)
    edits = held_out_edits(held_out, range(12), flow.spec, seed=0)
    row = measure_inpainting(edits, "centre", flow, None, classifier)
    hidden = edits.images[edits.mask("centre", 2)]
    assert row["leak"] == pytest.approx(2 * hidden.abs().max().item())


def test_references_compare_every_image_with_another_one(flow, held_out, classifier):
    same = Dataset("toy", np.repeat(held_out.images[:1], 12, axis=0), held_out.labels[:12], held_out.classes)
    edits = held_out_edits(same, range(12), flow.spec, seed=0)
    found = references(edits, flow, classifier)
    assert set(found) == {None, *MASKS}
    assert {row["kept_mse_other"] for row in found.values()} == {0.0}
    edits = held_out_edits(held_out, range(40), flow.spec, seed=0)
    found = references(edits, flow, classifier)
    # uniform grey levels: the variance of a difference of two is 2/3
    assert found[None]["kept_mse_other"] == pytest.approx(2 / 3, abs=0.1)
    assert found["centre"]["hidden_mse_other"] == pytest.approx(2 / 3, abs=0.1)


def test_chosen_images_are_balanced_and_too_many_are_refused(held_out):
    assert np.bincount(held_out.labels[choose(held_out, 20)]).tolist() == [5] * 4
    with pytest.raises(UserError, match="'editing.n_images' is 41, but there are 40 test images"):
        choose(held_out, 41)
