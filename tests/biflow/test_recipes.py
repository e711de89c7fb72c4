"""The recipes of the learned reverses: FARMER's training, what each keeps, and reconstructions."""

import dataclasses

import pytest
import torch

from baselines import FarmerStudent
from baselines.farmer import state_errors
from baselines.tarflow.denoise import denoise
from biflow.objectives import mse, trajectory
from biflow.recipes import RECIPES
from biflow.reconstruction import reconstruct, reconstruction_errors
from biflow.training import held_out_path
from nfbench import registry
from nfbench.errors import UserError
from nfbench.train.checkpoint import read_meta
from tests.biflow.toy import CONFIG, FARMER, changed, train

TRAINING = {"steps": 40, "evaluate_every": 20}


@pytest.fixture
def strong_flow(flow):
    """Return a flow far from the identity, in float32."""
    torch.manual_seed(6)
    for block in flow.blocks:
        torch.nn.init.normal_(block.proj_out.weight, std=0.2)
    return flow.float()


def test_there_is_a_recipe_for_every_objective():
    assert set(RECIPES) == set(registry.OBJECTIVES)


@pytest.mark.parametrize("normalisation", ["state", "token", "none"])
def test_a_short_training_lowers_the_student_s_errors_and_leaves_the_flow_alone(
    strong_flow, images, normalisation
):
    recipe, flow = RECIPES["farmer"], strong_flow
    config = changed(FARMER, training=TRAINING, normalisation=normalisation)
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    student = recipe.make(config, flow, images, seed=0)
    path, y = held_out_path(flow, images, range(64))
    with torch.no_grad():
        first_errors = state_errors(student, student.states(path.z, y), path.states)
    evaluate = recipe.validation_measure(flow, images)
    trained = train(student, recipe.loss(config, flow), images, config.training, evaluate)
    last = trained.curve[-1]
    assert sum(last[f"validation_alignment_mse_{i}"] for i in range(3)) < 0.5 * sum(first_errors).item()
    with torch.no_grad():
        output = trained.model(path.z, y)
    assert last["validation_reconstruction_mse"] == pytest.approx(mse(output, path.clean).item())
    assert last["validation_noisy_mse"] == pytest.approx(mse(output, path.states[-1]).item())
    assert all(torch.equal(value, before[name]) for name, value in flow.state_dict().items())


def test_the_student_s_loss_is_the_sum_of_its_errors_on_its_own_states(strong_flow, images):
    flow = strong_flow
    flow.spec = dataclasses.replace(flow.spec, sigma=0.0)  # leaves the loss no randomness but the labels
    x = torch.from_numpy(images.images[:5])
    labels = torch.from_numpy(images.labels[:5])
    for probability, y in ((0.0, labels), (1.0, torch.full((5,), -1))):
        config = changed(FARMER, class_dropout_prob=probability)
        student = RECIPES["farmer"].make(config, flow, images, seed=0)
        found = RECIPES["farmer"].loss(config, flow)(student, x, labels, torch.Generator().manual_seed(0))
        path = trajectory(flow, x / 127.5 - 1, x / 127.5 - 1, y)
        expected = sum(
            mse(state / unit, target / unit)
            for state, target, unit in zip(
                student.states(path.z, y), path.states, student.target_rms, strict=True
            )
        )
        torch.testing.assert_close(found, expected)


def test_a_student_s_units_are_the_rms_of_the_flow_s_states(strong_flow, images):
    flow = strong_flow
    flow.spec = dataclasses.replace(flow.spec, sigma=0.0)
    path, _ = held_out_path(flow, images, range(64))
    rms = {
        name: RECIPES["farmer"].make(changed(FARMER, normalisation=name), flow, images, 0).target_rms
        for name in ("state", "token", "none")
    }
    for i, state in enumerate(path.states):
        torch.testing.assert_close(rms["state"][i], state.square().mean().sqrt())
        torch.testing.assert_close(rms["token"][i], state.square().mean(dim=(0, 2)).sqrt())
    assert torch.equal(rms["none"], torch.ones(3))


@pytest.mark.parametrize("objective", RECIPES)
def test_what_a_recipe_makes_it_keeps_and_reads_back(strong_flow, images, tmp_path, objective):
    recipe, flow, file = RECIPES[objective], strong_flow, tmp_path / "model.safetensors"
    config = FARMER if objective == "farmer" else changed(CONFIG, objective=objective)
    model = recipe.make(config, flow, images, seed=0).eval()
    again = recipe.make(config, flow, images, seed=0)
    early = {name: value + 1 for name, value in model.state_dict().items()}
    path, y = held_out_path(flow, images, range(5))
    recipe.save(file, model, {"training": {"seconds": 1.0}}, {20: early})
    loaded = recipe.load(file)
    assert read_meta(file)["training"]["seconds"] == 1.0
    assert torch.equal(loaded(path.z, y), model(path.z, y))
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    assert all(torch.equal(a, early[name]) for name, a in recipe.load(file, step=20).state_dict().items())
    assert len(loaded.decode_trajectory(path.z, y)) == 4  # clean, x_0, x_1, x_2
    other = RECIPES["alignment" if objective == "farmer" else "farmer"]
    with pytest.raises(UserError, match="holds a model of kind"):
        other.load(file)


def per_image(a, b):
    return (a - b).square().flatten(1).mean(dim=1)


def test_a_noisy_reconstruction_is_compared_with_both_images_and_denoised_with_the_clean_one(flow, path, y):
    student = FarmerStudent.of(flow).eval()
    with torch.no_grad():
        images = reconstruct(student, flow, path, y)
        errors = reconstruction_errors(images, flow, path)
        output = flow.to_images(student(path.z, y))
    clean, noisy = flow.to_images(path.clean), flow.to_images(path.states[-1])
    assert set(errors) == {"reconstruction_mse", "noisy_mse", "denoised_mse"}
    torch.testing.assert_close(errors["reconstruction_mse"], per_image(output, clean))
    torch.testing.assert_close(errors["noisy_mse"], per_image(output, noisy))
    torch.testing.assert_close(errors["denoised_mse"], per_image(denoise(flow, output, y), clean))


def test_a_clean_reconstruction_is_compared_with_the_clean_image_alone(model, flow, path, y):
    images = reconstruct(model, flow, path, y)
    assert set(images) == {"reconstruction"}
    errors = reconstruction_errors(images, flow, path)
    assert set(errors) == {"reconstruction_mse"}
    torch.testing.assert_close(errors["reconstruction_mse"], per_image(model(path.z, y), path.clean))
