"""The options of the reverse model: units of targets, denoising, sizes and checkpoints."""

import dataclasses

import numpy as np
import pytest
import torch

from baselines import make_sampler
from baselines.tarflow.denoise import denoise
from biflow import OneStep, ReverseModel, ReverseSpec, load_reverse, save_reverse
from biflow.objectives import OBJECTIVES, hidden_alignment, mse, naive_distillation, targets
from biflow.sizes import matched_spec, sampling_parameters
from biflow.training import calibrate, held_out_path
from nfbench import registry
from nfbench.data.datasets import Dataset
from nfbench.sample.sample_set import draw

PROJECTIONS = ["auxiliary", "bottleneck", "none"]
GREY = {"channels": 1, "patch_size": 2, "n_classes": 10}
DEMO = ReverseSpec(**GREY, image_size=14, width=64, blocks=4, layers_per_stage=2, head_dim=32)


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (200, 1, 6, 6), dtype=np.uint8)
    pixels[:, :, :2] //= 8  # tokens of another size than the rest
    return Dataset("toy", pixels, np.arange(200, dtype=np.int64) % 4, ("a", "b", "c", "d"))


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def scaled_targets(build_model, flow, images, normalisation):
    """Return a calibrated model, and its targets on the images that it was calibrated on, without noise."""
    flow = flow.float()
    flow.spec = dataclasses.replace(flow.spec, sigma=0.0)
    model = build_model(normalisation=normalisation).float()
    calibrate(model, flow, images, seed=0)
    path, _ = held_out_path(flow, images, range(200))
    return model, path, targets(model, path)[1]


@pytest.mark.parametrize(
    ("normalisation", "shape", "over"), [("state", (3,), (0, 1, 2)), ("token", (3, 9), (0, 2))]
)
def test_normalisation_gives_every_target_or_token_position_unit_rms(
    build_model, flow, images, normalisation, shape, over
):
    model, path, scaled = scaled_targets(build_model, flow, images, normalisation)
    assert model.target_rms.shape == shape
    assert model.target_rms.flatten().std() > 0
    for state, target in zip(path.states, scaled, strict=True):
        rms = state.square().mean(dim=over, keepdim=True).sqrt()
        torch.testing.assert_close(target, state / rms)
        torch.testing.assert_close(target.square().mean(dim=over), torch.ones_like(rms.squeeze()))


def test_without_normalisation_targets_are_the_flow_s_states(build_model, flow, images):
    model, path, scaled = scaled_targets(build_model, flow, images, "none")
    assert torch.equal(model.target_rms, torch.ones(3))
    assert all(torch.equal(state, target) for state, target in zip(path.states, scaled, strict=True))


@pytest.mark.parametrize("normalisation", ["state", "token", "none"])
def test_the_decoded_trajectory_is_in_the_flow_s_units(build_model, path, y, normalisation):
    model = build_model(normalisation=normalisation)
    shown = model.decode_trajectory(path.z, y)
    perfect = dataclasses.replace(path, clean=shown[0], states=shown[:0:-1])
    assert hidden_alignment(model, perfect, y).item() == pytest.approx(0.0, abs=1e-24)


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("denoising", ["learned", "none"])
def test_the_decoded_trajectory_has_an_entry_for_every_state(build_model, z, y, projection, denoising):
    model = build_model(projection=projection, denoising=denoising)
    shown = model.decode_trajectory(z, y)
    assert len(shown) == 4  # clean, x_0, x_1, x_2
    noisy = denoising == "none"
    assert [state is None for state in shown] == [
        *([True, False] if noisy else [False]),
        *[projection == "none"] * (2 if noisy else 3),
    ]
    assert torch.equal(shown[1 if noisy else 0], model(z, y))


def test_without_denoising_the_output_is_matched_to_the_noisy_image(build_model, path, y):
    model = build_model(denoising="none")
    assert len(model.stages) == 3
    assert model.denoising_stage is None
    output, states = targets(model, path)
    assert torch.equal(output, path.states[-1])
    assert len(states) == len(model.heads) == 2  # x_0 itself comes out
    naive = build_model(denoising="none", projection="none")
    assert torch.equal(naive_distillation(naive, path, y), mse(naive(path.z, y), path.states[-1]))


def test_a_sampler_says_that_its_images_are_noisy_and_they_may_be_denoised(build_model, flow, z, y):
    model = build_model(denoising="none")
    sampler = make_sampler("biflow", model)
    assert (sampler.output, OneStep(build_model()).output) == ("noisy", "clean")
    noisy, denoised = sampler.sample(z, y), make_sampler("biflow+denoise", model, flow=flow).sample(z, y)
    assert (denoised.nfe, denoised.score_evaluations) == (1, 1)
    torch.testing.assert_close(denoised.images, denoise(flow, noisy.images, y))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_samples_in_one_evaluation_image_by_image(build_model, z, y, objective):
    model = build_model(projection=OBJECTIVES[objective].projection)
    sampler = make_sampler(registry.OBJECTIVES[objective], model)
    out = sampler.sample(z, y)
    assert (out.nfe, out.score_evaluations) == (1, 0)
    options = {"seed": 3, "n": 7, "device": torch.device("cpu"), "dtype": torch.float64}
    one_by_one, at_once = (draw(sampler, batch_size=size, **options).images for size in (1, 7))
    torch.testing.assert_close(torch.from_numpy(one_by_one), torch.from_numpy(at_once), rtol=0, atol=1e-12)


def test_sampling_counts_the_heads_only_where_it_evaluates_them(build_model):
    auxiliary, bottleneck, none = (build_model(projection=projection) for projection in PROJECTIONS)
    head, embed = 16 + 16 * 4 + 4, 4 * 16 + 16
    total = n_parameters(none)
    assert n_parameters(auxiliary) == total + 3 * head
    assert n_parameters(bottleneck) == total + 3 * (head + embed)
    assert auxiliary.n_sampling_parameters() == none.n_sampling_parameters() == total
    assert bottleneck.n_sampling_parameters() == n_parameters(bottleneck)
    without = build_model(projection="none", denoising="none")
    assert without.n_sampling_parameters() == total - n_parameters(none.denoising_stage)
    two_heads = build_model(projection="bottleneck", denoising="none")
    assert two_heads.n_sampling_parameters() == without.n_sampling_parameters() + 2 * (head + embed)


@pytest.mark.parametrize(("projection", "used"), [("auxiliary", False), ("bottleneck", True)])
def test_sampling_evaluates_the_heads_only_where_it_counts_them(build_model, z, y, projection, used):
    model = build_model(projection=projection)
    before = model(z, y)
    for head in model.heads:
        torch.nn.init.zeros_(head.linear.weight)
    assert torch.equal(model(z, y), before) != used


@pytest.mark.parametrize(
    "sizes",
    [
        DEMO,
        ReverseSpec(**GREY, image_size=28, width=128, blocks=6, layers_per_stage=2),
        ReverseSpec(channels=3, image_size=32, patch_size=4, width=256, blocks=8, layers_per_stage=1),
    ],
    ids=lambda spec: f"width{spec.width}",
)
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_model_without_denoising_widens_to_the_size_of_one_with_it(sizes, projection):
    target = sampling_parameters(sizes)
    narrow = dataclasses.replace(sizes, denoising="none", projection=projection)
    assert sampling_parameters(narrow) < 0.95 * target
    wide = matched_spec(narrow, target)
    assert ReverseModel(wide).n_sampling_parameters() == pytest.approx(target, rel=0.02)
    assert wide.width > sizes.width
    assert wide.width // wide.head_dim == sizes.width // sizes.head_dim
    kept = {"width": sizes.width, "head_dim": sizes.head_dim, "mlp_width": None}
    assert dataclasses.replace(wide, **kept) == narrow


def test_a_size_that_is_met_changes_nothing_and_draws_no_random_number():
    spec = DEMO
    torch.manual_seed(3)
    assert matched_spec(spec, sampling_parameters(spec)) == spec
    after = torch.rand(3)
    assert torch.equal(after, torch.rand(3, generator=torch.Generator().manual_seed(3)))


def test_a_size_out_of_reach_is_refused():
    with pytest.raises(ValueError, match="no width near 8 has 10 parameters within 2%"):
        matched_spec(DEMO, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {"projection": "bottleneck", "normalisation": "token"},
        {"projection": "none"},
        {"projection": "none", "normalisation": "token"},
        {"denoising": "none", "normalisation": "none", "mlp_width": 24},
        {"guidance_max": 2.0, "conditioning": "in-context"},
    ],
    ids=str,
)
def test_a_checkpoint_holds_the_options_that_its_architecture_needs(build_model, tmp_path, z, y, changes):
    model, path = build_model(**changes).float(), tmp_path / "new.safetensors"
    save_reverse(path, model)
    loaded = load_reverse(path)
    assert loaded.spec == model.spec
    found, expected = (m.decode_trajectory(z.float(), y) for m in (loaded, model))
    for a, b in zip(found, expected, strict=True):
        assert a is b is None or torch.equal(a, b)


@pytest.mark.parametrize("name", ["projection", "denoising", "normalisation"])
def test_an_option_that_does_not_exist_is_named(build_model, name):
    with pytest.raises(ValueError, match=f"{name} is 'nowhere', not one of"):
        build_model(**{name: "nowhere"})
