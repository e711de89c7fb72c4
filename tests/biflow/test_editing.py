"""Inpainting and class editing through the flow's noise."""

from dataclasses import replace

import pytest
import torch

from baselines import TarFlow, make_sampler
from biflow.editing import InpaintingNoise, edit_class, inpaint, paste, unit_noise
from nfbench.errors import UserError
from nfbench.sample.sampler import Sampled


class Spy:
    """A sampler that keeps the noise and the labels that it is given."""

    name, latent_shape, n_classes = "spy", (9, 4), 4

    def sample(self, z, y, guidance=0.0):
        self.z, self.y = z, y
        return Sampled(torch.zeros(len(z), 1, 6, 6, dtype=z.dtype), nfe=0)


def normal(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def images():
    return normal(5, 1, 6, 6, seed=10).clamp(-1, 1)


@pytest.fixture
def noise():
    training, hidden = (normal(5, 1, 6, 6, seed=seed) for seed in (11, 12))
    return InpaintingNoise(training, hidden, redrawn=normal(5, 9, 4, seed=13))


@pytest.fixture
def hidden():
    """Return a mask that hides token 4 wholly and tokens 5 and 8 in part."""
    mask = torch.zeros(6, 6, dtype=torch.bool)
    mask[2:4, 2:5] = True
    mask[5, 5] = True
    return mask


@pytest.fixture(params=["sequential", "sequential-static+denoise", "biflow"])
def sampler(request, flow, model):
    return make_sampler(request.param, model if request.param == "biflow" else flow)


def test_with_nothing_hidden_the_exact_inverse_gives_the_noisy_images_back(flow, images, y, noise):
    nothing = torch.zeros(6, 6, dtype=torch.bool)
    result = inpaint(flow, make_sampler("sequential-static", flow), images, nothing, y, noise)
    torch.testing.assert_close(result, images + 0.1 * noise.training, rtol=0, atol=1e-12)


def test_hidden_pixels_do_not_reach_the_result(flow, sampler, images, hidden, y, noise):
    result = inpaint(flow, sampler, images, hidden, y, noise)
    for others in (torch.where(hidden, -images, images), images.masked_fill(hidden, torch.nan)):
        assert torch.equal(inpaint(flow, sampler, others, hidden, y, noise), result)
    other_known = torch.where(hidden, images, -images)
    assert not torch.equal(inpaint(flow, sampler, other_known, hidden, y, noise), result)


def test_training_noise_of_hidden_pixels_and_replacements_of_known_ones_do_not_matter(
    flow, sampler, images, hidden, y, noise
):
    changed = InpaintingNoise(
        training=torch.where(hidden, 7.0, noise.training),
        hidden=torch.where(hidden, noise.hidden, 7.0),
        redrawn=noise.redrawn,
    )
    result = inpaint(flow, sampler, images, hidden, y, noise)
    assert torch.equal(inpaint(flow, sampler, images, hidden, y, changed), result)


def test_the_noise_of_wholly_known_tokens_is_kept_and_that_of_all_others_redrawn(
    flow, images, hidden, y, noise
):
    spy = Spy()
    inpaint(flow, spy, images, hidden, y, noise)
    noisy = torch.where(hidden, noise.hidden, images + 0.1 * noise.training)
    redrawn = [4, 5, 8]
    known = [i for i in range(9) if i not in redrawn]
    assert torch.equal(spy.z[:, known], flow.encode(noisy, y).z[:, known])
    assert torch.equal(spy.z[:, redrawn], noise.redrawn[:, redrawn])
    assert torch.equal(spy.y, y)


def blocks(flow, n):
    """Return a flow of the first n blocks of another."""
    short = TarFlow(replace(flow.spec, blocks=n)).double()
    short.load_state_dict({key: flow.state_dict()[key] for key in short.state_dict()})
    return short.eval()


def test_what_one_block_has_read_before_the_first_hidden_token_is_given_back(flow, images, hidden, y, noise):
    one = blocks(flow, 1)
    result = inpaint(one, make_sampler("sequential", one), images, hidden, y, noise)
    noisy = images + 0.1 * noise.training
    before = (slice(None), slice(None), slice(0, 2))  # tokens 0 to 2 are the first two rows of pixels
    torch.testing.assert_close(result[before], noisy[before], rtol=0, atol=1e-12)
    later_known = result[:, :, 4:6, 0:2]  # token 6
    assert not torch.isclose(later_known, noisy[:, :, 4:6, 0:2]).any()


def test_after_two_blocks_every_known_token_depends_on_what_replaced_the_hidden_pixels(
    flow, images, hidden, y, noise
):
    first, second = Spy(), Spy()
    two = blocks(flow, 2)
    inpaint(two, first, images, hidden, y, noise)
    inpaint(two, second, images, hidden, y, replace(noise, hidden=-noise.hidden))
    changed = (first.z != second.z).any(dim=2).all(dim=0)
    assert changed.tolist() == [i not in (4, 5, 8) for i in range(9)]


def test_a_volume_preserving_flow_gives_noise_of_unit_variance(flow, images, hidden, y, noise):
    preserving = TarFlow(replace(flow.spec, volume_preserving=True)).double().eval()
    preserving.var.uniform_(0.5, 2.0)
    nothing = torch.zeros_like(hidden)
    result = inpaint(preserving, make_sampler("sequential", preserving), images, nothing, y, noise)
    torch.testing.assert_close(result, images + 0.1 * noise.training, rtol=0, atol=1e-12)
    z = preserving.encode(images, y).z
    torch.testing.assert_close(unit_noise(preserving, images, y), z / preserving.var.sqrt())


def test_pasting_puts_the_known_pixels_back_and_leaves_the_others(images, hidden):
    result = torch.full_like(images, 5.0)
    pasted = paste(images, result, hidden)
    assert torch.equal(pasted[:, :, ~hidden], images[:, :, ~hidden])
    assert (pasted[:, :, hidden] == 5.0).all()


def test_an_image_is_inpainted_and_edited_the_same_in_any_batch(flow, sampler, images, y, noise):
    hidden = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(14)) < 0.1
    whole = inpaint(flow, sampler, images, hidden, y, noise)
    edited = edit_class(flow, sampler, images, y, y.flip(0), noise.training)
    for i in range(5):
        one = slice(i, i + 1)
        own = InpaintingNoise(noise.training[one], noise.hidden[one], noise.redrawn[one])
        alone = inpaint(flow, sampler, images[one], hidden[one], y[one], own)
        torch.testing.assert_close(alone, whole[one], rtol=0, atol=1e-12)
        alone = edit_class(flow, sampler, images[one], y[one], y.flip(0)[one], own.training)
        torch.testing.assert_close(alone, edited[one], rtol=0, atol=1e-12)


def test_one_mask_for_all_is_that_mask_for_each(flow, sampler, images, hidden, y, noise):
    each = hidden.expand(5, 1, 6, 6)
    results = [inpaint(flow, sampler, images, mask, y, noise) for mask in (hidden, each)]
    assert torch.equal(*results)


def test_editing_to_its_own_class_gives_the_noisy_image_back(flow, images, y, noise):
    inverse = make_sampler("sequential-static", flow)
    result = edit_class(flow, inverse, images, y, y, noise.training)
    torch.testing.assert_close(result, images + 0.1 * noise.training, rtol=0, atol=1e-12)
    other = edit_class(flow, inverse, images, y, (y + 1) % 4, noise.training)
    assert (other - result).abs().flatten(1).max(dim=1).values.min() > 1e-6


def test_class_editing_there_and_back_gives_the_noisy_image(flow, images, y, noise):
    y_to, inverse, none = y.flip(0), make_sampler("sequential", flow), torch.zeros_like(images)
    there = edit_class(flow, inverse, images, y, y_to, noise.training)
    back = edit_class(flow, inverse, there, y_to, y, none)
    torch.testing.assert_close(back, images + 0.1 * noise.training, rtol=0, atol=1e-12)


def test_arguments_stay_as_they_are(flow, sampler, images, hidden, y, noise):
    given = [images, hidden, y, noise.training, noise.hidden, noise.redrawn]
    before = [tensor.clone() for tensor in given]
    inpaint(flow, sampler, images, hidden, y, noise)
    edit_class(flow, sampler, images, y, y.flip(0), noise.training)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (torch.zeros(6, 6), r"is torch\.float32; make it bool"),
        (torch.zeros(5, 6, 6, dtype=torch.bool), r"shape \(5, 6, 6\); it must be \(6, 6\) or \(5, 1, 6, 6\)"),
        (torch.zeros(1, 1, 6, 6, dtype=torch.bool), r"shape \(1, 1, 6, 6\)"),
        (torch.ones(6, 6, dtype=torch.bool), "leaves no token .* of image 0 completely known"),
        (torch.eye(6, dtype=torch.bool).roll(1, 1) | torch.eye(6, dtype=torch.bool), None),
    ],
    ids=["dtype", "no channel", "batch", "everything", "something of some tokens"],
)
def test_bad_masks_are_refused_in_one_sentence(flow, images, y, noise, mask, sentence):
    if sentence is None:
        inpaint(flow, Spy(), images, mask, y, noise)
        return
    with pytest.raises(UserError, match=sentence):
        inpaint(flow, Spy(), images, mask, y, noise)


def test_a_mask_that_touches_every_token_of_one_image_is_refused(flow, images, y, noise):
    hidden = torch.zeros(5, 1, 6, 6, dtype=torch.bool)
    hidden[3, :, ::2, ::2] = True
    with pytest.raises(UserError, match=r"no token \(2x2 pixels\) of image 3 completely known"):
        inpaint(flow, Spy(), images, hidden, y, noise)


def test_noise_images_and_samplers_of_another_shape_are_refused(flow, images, hidden, y, noise):
    spy = Spy()
    with pytest.raises(UserError, match=r"'hidden' noise is torch\.float64 of shape \(1, 1, 6, 6\)"):
        inpaint(flow, spy, images, hidden, y, replace(noise, hidden=noise.hidden[:1]))
    with pytest.raises(UserError, match=r"'training' noise is torch\.float32"):
        edit_class(flow, spy, images, y, y, noise.training.float())
    with pytest.raises(UserError, match=r"'redrawn' noise has shape \(5, 8, 4\); it must be \(5, 9, 4\)"):
        inpaint(flow, spy, images, hidden, y, replace(noise, redrawn=noise.redrawn[:, 1:]))
    with pytest.raises(UserError, match=r"takes images of shape \(B, 1, 6, 6\), not \(5, 1, 4, 6\)"):
        inpaint(flow, spy, images[:, :, :4], hidden, y, noise)
    spy.latent_shape = (16, 4)
    with pytest.raises(UserError, match=r"'spy' takes noise of shape \(16, 4\), but the flow gives \(9, 4\)"):
        edit_class(flow, spy, images, y, y, noise.training)


def test_classes_that_do_not_exist_are_refused(flow, images, hidden, y, noise):
    with pytest.raises(UserError, match=r"'y_to' must hold 5 class ids in 0 \.\. 3, or -1"):
        edit_class(flow, Spy(), images, y, y + 1, noise.training)
    with pytest.raises(UserError, match="'y_from' must hold 5 class ids"):
        edit_class(flow, Spy(), images, y[:3], y, noise.training)
    with pytest.raises(UserError, match="'y' must hold 5 class ids"):
        inpaint(flow, Spy(), images, hidden, y - 1, noise)


def test_class_editing_needs_classes_and_inpainting_does_not(flow, images, hidden, y, noise):
    unconditional = TarFlow(replace(flow.spec, n_classes=None)).double().eval()
    inverse = make_sampler("sequential", unconditional)
    with pytest.raises(UserError, match="The flow is unconditional; class editing needs one with classes"):
        edit_class(unconditional, inverse, images, y, y, noise.training)
    with pytest.raises(UserError, match="The sampler 'sequential' is unconditional"):
        edit_class(flow, inverse, images, y, y, noise.training)
    result = inpaint(unconditional, inverse, images, hidden, None, noise)
    assert torch.equal(inpaint(unconditional, inverse, images, hidden, y, noise), result)
