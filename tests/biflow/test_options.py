"""The options of the reverse model: units, denoising, sizes, and checkpoints from before them."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from baselines import make_sampler
from baselines.tarflow.denoise import Denoised, denoise
from biflow import OneStep, ReverseModel, ReverseSpec, demo_reverse, load_reverse, save_reverse
from biflow.checkpoint import KIND
from biflow.methods import METHODS
from biflow.objectives import hidden_alignment, mse, naive_distillation, targets
from biflow.sizes import matched_spec, sampling_parameters
from biflow.training import calibrate, held_out_path
from nfbench.data.datasets import Dataset
from nfbench.errors import UserError
from nfbench.sample.sample_set import draw
from nfbench.train.checkpoint import save_checkpoint

PROJECTIONS = ["beside", "through", "none"]


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (200, 1, 6, 6), dtype=np.uint8)
    pixels[:, :, :2] //= 8  # tokens of another size than the rest
    return Dataset("toy", pixels, np.arange(200, dtype=np.int64) % 4, ("a", "b", "c", "d"))


def scaled_targets(build_model, flow, images, normalisation):
    """Return a calibrated model, and its targets on the images that it was calibrated on, without noise."""
    flow = flow.float()
    flow.spec = dataclasses.replace(flow.spec, sigma=0.0)
    model = build_model(normalisation=normalisation).float()
    calibrate(model, flow, images, seed=0)
    path, _ = held_out_path(flow, images, range(200))
    return model, path, targets(model, path)[1]


def test_state_normalisation_gives_every_target_unit_rms(build_model, flow, images):
    model, path, scaled = scaled_targets(build_model, flow, images, "state")
    assert model.target_rms.shape == (3,)
    for state, target in zip(path.states, scaled, strict=True):
        torch.testing.assert_close(target.square().mean(), torch.tensor(1.0))
        torch.testing.assert_close(target, state / state.square().mean().sqrt())


def test_token_normalisation_gives_every_place_of_every_target_unit_rms(build_model, flow, images):
    model, path, scaled = scaled_targets(build_model, flow, images, "token")
    assert model.target_rms.shape == (3, 9)
    assert model.target_rms.std(dim=1).min() > 0
    for state, target in zip(path.states, scaled, strict=True):
        torch.testing.assert_close(target.square().mean(dim=(0, 2)), torch.ones(9))
        torch.testing.assert_close(target[:, 5], state[:, 5] / state[:, 5].square().mean().sqrt())


def test_without_normalisation_targets_are_the_flow_s_states(build_model, flow, images):
    model, path, scaled = scaled_targets(build_model, flow, images, "none")
    assert torch.equal(model.target_rms, torch.ones(3))
    assert all(torch.equal(state, target) for state, target in zip(path.states, scaled, strict=True))


@pytest.mark.parametrize("normalisation", ["state", "token", "none"])
def test_the_way_back_undoes_the_units(build_model, path, y, normalisation):
    model = build_model(normalisation=normalisation)
    shown = model.way_back(path.z, y)
    perfect = dataclasses.replace(path, clean=shown[0], states=shown[:0:-1])
    assert hidden_alignment(model, perfect, y).item() == pytest.approx(0.0, abs=1e-24)


@pytest.mark.parametrize(
    ("projection", "denoising"), itertools.product(PROJECTIONS, ["learned", "none"]), ids=str
)
def test_the_way_back_has_a_place_for_every_state(build_model, z, y, projection, denoising):
    model = build_model(projection=projection, denoising=denoising)
    shown = model.way_back(z, y)
    assert len(shown) == 4  # clean, x_0, x_1, x_2
    noisy = denoising == "none"
    assert [state is None for state in shown] == [
        *([True, False] if noisy else [False]),
        *[projection == "none"] * (2 if noisy else 3),
    ]
    assert torch.equal(shown[1 if noisy else 0], model(z, y))


def test_without_denoising_the_output_is_matched_to_the_noisy_image(build_model, path, y):
    model = build_model(denoising="none")
    assert len(model.groups) == 3
    assert model.denoising_group is None
    output, states = targets(model, path)
    assert torch.equal(output, path.states[-1])
    assert len(states) == len(model.heads) == 2  # x_0 itself comes out
    naive = build_model(denoising="none", projection="none")
    assert torch.equal(naive_distillation(naive, path, y), mse(naive(path.z, y), path.states[-1]))


def test_noisy_samples_are_told_and_never_pass_for_clean(build_model, flow, z, y):
    model = build_model(denoising="none")
    sampler = OneStep(model)
    assert (sampler.output, OneStep(build_model()).output) == ("noisy", "clean")
    with pytest.raises(UserError, match="'biflow' is asked for clean images, and this model gives noisy"):
        make_sampler("biflow", model)
    assert make_sampler("biflow", model, output="noisy").output == "noisy"
    noisy, denoised = sampler.sample(z, y), Denoised(sampler, flow).sample(z, y)
    assert (denoised.nfe, denoised.score_evaluations) == (1, 1)
    torch.testing.assert_close(denoised.images, denoise(flow, noisy.images, y))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_samples_in_one_evaluation_image_by_image(build_model, z, y, method):
    sampler = make_sampler(method, build_model(projection=METHODS[method].projection))
    out = sampler.sample(z, y)
    assert (sampler.name, out.nfe, out.score_evaluations) == (method, 1, 0)
    options = {"seed": 3, "n": 7, "device": torch.device("cpu"), "dtype": torch.float64}
    one_by_one, at_once = (draw(sampler, batch_size=size, **options).images for size in (1, 7))
    torch.testing.assert_close(torch.from_numpy(one_by_one), torch.from_numpy(at_once), rtol=0, atol=1e-12)


def test_sampling_counts_the_heads_only_where_it_evaluates_them(build_model):
    beside, through, none = (build_model(projection=projection) for projection in PROJECTIONS)
    head, embed = 16 + 16 * 4 + 4, 4 * 16 + 16
    total = {
        p: sum(q.numel() for q in m.parameters()) for p, m in zip("btn", (beside, through, none), strict=True)
    }
    assert total["b"] == total["n"] + 3 * head
    assert total["t"] == total["n"] + 3 * (head + embed)
    assert beside.n_sampling_parameters() == none.n_sampling_parameters() == total["n"]
    assert through.n_sampling_parameters() == total["t"]
    group = sum(p.numel() for p in none.denoising_group.parameters())
    without = build_model(projection="none", denoising="none")
    assert without.n_sampling_parameters() == total["n"] - group
    two_heads = build_model(projection="through", denoising="none")
    assert two_heads.n_sampling_parameters() == total["n"] - group + 2 * (head + embed)


@pytest.mark.parametrize(("projection", "used"), [("beside", False), ("through", True)])
def test_sampling_evaluates_the_heads_only_where_it_counts_them(build_model, z, y, projection, used):
    model = build_model(projection=projection)
    before = model(z, y)
    for head in model.heads:
        torch.nn.init.zeros_(head.linear.weight)
    assert torch.equal(model(z, y), before) != used


@pytest.mark.parametrize(
    "sizes",
    [
        demo_reverse().spec,
        ReverseSpec(
            channels=1, image_size=28, patch_size=2, width=128, blocks=6, layers_per_group=2, n_classes=10
        ),
        ReverseSpec(channels=3, image_size=32, patch_size=4, width=256, blocks=8, layers_per_group=1),
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
    spec = demo_reverse().spec
    torch.manual_seed(3)
    assert matched_spec(spec, sampling_parameters(spec)) == spec
    after = torch.rand(3)
    assert torch.equal(after, torch.rand(3, generator=torch.Generator().manual_seed(3)))


def test_a_size_out_of_reach_is_refused():
    with pytest.raises(ValueError, match="no width near 8 has 10 parameters within 2%"):
        matched_spec(demo_reverse().spec, 10)


OLD_ARCHITECTURE = {
    **{"channels": 1, "image_size": 6, "patch_size": 2, "width": 16, "blocks": 3},
    **{"layers_per_group": 1, "head_dim": 8, "n_classes": 4},
}


def test_a_checkpoint_from_before_the_options_loads_as_what_it_was(model, tmp_path, z, y):
    model, path = model.float(), tmp_path / "old.safetensors"
    layer = (
        "attention.norm",
        "attention.qkv",
        "attention.query_norm",
        "attention.key_norm",
        "attention.proj",
    )
    layer += ("mlp.norm", "mlp.gate_and_value", "mlp.out")
    groups = ["groups.0", "groups.1", "groups.2", "denoising_group"]
    heads = ["out", "heads.0", "heads.1", "heads.2"]
    assert set(model.state_dict()) == {
        *("embed.weight", "embed.bias", "position", "target_rms"),
        *(f"{group}.classes.weight" for group in groups),
        *(f"{group}.layers.0.{part}.weight" for group in groups for part in layer),
        *(f"{head}.{part}" for head in heads for part in ("norm.weight", "linear.weight", "linear.bias")),
    }
    save_checkpoint(path, model, KIND, {"architecture": OLD_ARCHITECTURE})
    loaded, _ = load_reverse(path)
    assert loaded.spec == ReverseSpec(**OLD_ARCHITECTURE) == model.spec
    found, expected = loaded.reverse(z.float(), y), model.reverse(z.float(), y)
    assert all(
        torch.equal(a, b)
        for a, b in zip([found.x, *found.states], [expected.x, *expected.states], strict=True)
    )
    assert hasattr(make_sampler("biflow", path), "sample")


@pytest.mark.parametrize(
    "changes",
    [
        {"projection": "through", "normalisation": "token"},
        {"projection": "none"},
        {"projection": "none", "normalisation": "token"},
        {"denoising": "none", "normalisation": "none", "mlp_width": 24},
    ],
    ids=str,
)
def test_a_checkpoint_holds_the_options_that_its_architecture_needs(build_model, tmp_path, z, y, changes):
    model, path = build_model(**changes).float(), tmp_path / "new.safetensors"
    save_reverse(path, model)
    loaded, _ = load_reverse(path)
    assert loaded.spec == model.spec
    found, expected = (m.way_back(z.float(), y) for m in (loaded, model))
    for a, b in zip(found, expected, strict=True):
        assert a is b is None or torch.equal(a, b)


@pytest.mark.parametrize("name", ["projection", "denoising", "normalisation"])
def test_an_option_that_does_not_exist_is_named(build_model, name):
    with pytest.raises(ValueError, match=f"{name} is 'nowhere', not one of"):
        build_model(**{name: "nowhere"})
