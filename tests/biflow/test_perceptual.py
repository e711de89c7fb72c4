"""Perceptual distances: what each is of, what it trains, and what a loss with it has seen."""

import pytest
import torch

from biflow import ReverseModel
from biflow.feature_distance import FeatureDistance, Inputs
from biflow.objectives import Terms, hidden_alignment
from biflow.perceptual import PERCEPTUAL, classifier_distance, feature_spaces_in_loss, load_perceptual
from biflow.training import held_out_path, reverse_loss, reverse_spec
from nfbench.errors import UserError
from nfbench.measure.quality.classifier import ClassifierSpec, DomainClassifier, save_classifier
from nfbench.measure.quality.features import EfficientNetExtractor, spaces
from tests.biflow.toy import CONFIG, changed, quarters, train


class Stages(torch.nn.Module):
    """A network without weights."""

    def __init__(self, activations):
        super().__init__()
        self.activations = activations

    def forward(self, x):
        return self.activations(x)


@pytest.fixture(scope="module")
def classifier():
    """Return a classifier with random weights, of the small images."""
    torch.manual_seed(0)
    model = DomainClassifier(ClassifierSpec(channels=1, image_size=6, n_classes=4, width=8))
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    return model


@pytest.fixture(scope="module", params=["effnet", "classifier"])
def distance(request, classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "classifier.safetensors"
    save_classifier(path, classifier)
    return load_perceptual([request.param], "cpu", path)[request.param]


@pytest.fixture
def pair():
    """Return images (5, 1, 6, 6) in [-1, 1], and the same with some noise."""
    generator = torch.Generator().manual_seed(1)
    images = 2 * torch.rand(5, 1, 6, 6, generator=generator) - 1
    return images, images + 0.3 * torch.randn(images.shape, generator=generator)


def test_only_equal_images_have_no_distance(distance, pair):
    images, other = pair
    assert torch.equal(distance(images, images), torch.zeros(5))
    found = distance(other, images)
    assert found.shape == (5,)
    assert ((found > 0) & (found <= 4)).all()
    torch.testing.assert_close(distance(images, other), found)


def test_more_noise_is_farther(distance, pair):
    images, other = pair
    steps = [distance(images + scale * (other - images), images).mean() for scale in (0.1, 0.3, 1.0)]
    assert steps == sorted(steps)


def test_an_image_s_distance_does_not_depend_on_its_batch(distance, pair):
    images, other = pair
    one_by_one = torch.cat([distance(other[i : i + 1], images[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(distance(other, images), one_by_one)


def test_the_gradient_reaches_the_prediction_alone_image_by_image(distance, pair):
    target, prediction = (images.clone().requires_grad_(True) for images in pair)
    distance(prediction, target)[1].backward()
    assert target.grad is None
    assert all(not p.requires_grad and p.grad is None for p in distance.parameters())
    assert prediction.grad[1].any()
    assert not prediction.grad[[0, 2, 3, 4]].any()
    assert not any(module.training for module in distance.modules())


def test_a_distance_is_in_full_precision_also_in_a_training_that_is_not(distance, pair):
    images, other = pair
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = distance(other, images)
    assert torch.equal(found, distance(other, images))


def test_the_gradient_of_the_classifier_s_distance_is_that_of_its_values(classifier, pair):
    distance = classifier_distance(classifier).double()
    target, prediction = (images[:2].double() for images in pair)
    prediction.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: distance(x, target), prediction, atol=1e-6, rtol=1e-5)
    classifier.float()


def test_the_last_stage_of_the_classifier_is_what_is_measured(classifier, pair):
    distance = classifier_distance(classifier)
    stages = distance.network(distance.inputs(pair[0]))
    assert [tuple(stage.shape[1:]) for stage in stages] == [(8, 6, 6), (16, 3, 3), (64,)]
    torch.testing.assert_close(stages[-1], classifier.features(pair[0]))


def test_the_last_stage_of_effnet_is_what_is_measured_at_its_size():
    grey = torch.randint(
        0, 256, (3, 1, 14, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    distance = load_perceptual(["effnet"])["effnet"]
    stages = distance.network(distance.inputs(grey.float() / 127.5 - 1))
    widths, sides = (16, 24, 40, 112, 1280), (16, 8, 4, 2, 1)
    assert [tuple(stage.shape) for stage in stages] == [
        (3, width, side, side) for width, side in zip(widths, sides, strict=True)
    ]
    (measured,) = EfficientNetExtractor("x", ["features"], image_size=32)(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(stages[-1].flatten(1), measured, rtol=1e-4, atol=1e-4)


def test_a_known_pair_of_activations_has_a_known_distance():
    first = torch.tensor([[[[3.0, 1.0]], [[4.0, 0.0]]]], dtype=torch.float64)  # unit: (.6, .8) and (1, 0)
    second = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]], dtype=torch.float64)  # unit: (1, 0) and (0, 1)
    network = Stages(lambda x: [x, x])
    found = FeatureDistance(network, torch.nn.Identity())(first, second)
    assert found.tolist() == pytest.approx([((0.16 + 0.64) + (1 + 1)) / 2])
    weights = [torch.tensor([0.5, 0.0], dtype=torch.float64)] * 2
    found = FeatureDistance(network, torch.nn.Identity(), weights)(first, second)
    assert found.tolist() == pytest.approx([2 * 0.5 * (0.16 + 1) / 2])


def test_dead_activations_have_no_distance_and_a_finite_gradient():
    distance = FeatureDistance(Stages(lambda x: [x.relu()]), torch.nn.Identity())
    prediction = torch.full((1, 2, 3, 3), -1.0, requires_grad=True)
    found = distance(prediction, torch.full((1, 2, 3, 3), -2.0))
    found.sum().backward()
    assert found.item() == 0
    assert torch.isfinite(prediction.grad).all()


@pytest.mark.parametrize(
    ("options", "side"), [({"size": 32}, 32), ({"least": 9}, 9), ({"least": 4}, 6), ({}, 6)], ids=str
)
def test_inputs_have_the_network_s_size_and_channels(pair, options, side):
    found = Inputs((0.5, 0.0, 0.0), (1.0, 2.0, 1.0), **options)(pair[0].double())
    assert found.shape == (5, 3, side, side)
    torch.testing.assert_close(found[:, 0] + 0.5, found[:, 2])
    torch.testing.assert_close(2 * found[:, 1], found[:, 2])
    if side == 6:
        assert torch.equal(found[:, 2:], pair[0])


def test_a_term_is_the_mse_plus_every_distance_times_its_weight(model, path, y):
    def absolute(prediction, target):
        assert prediction.shape == target.shape == (5, 1, 6, 6)
        return (prediction - target).abs().mean(dim=(1, 2, 3))

    def largest(prediction, target):
        return (prediction - target).abs().amax(dim=(1, 2, 3))

    off = (model(path.z, y) - path.clean).abs()
    extra = 0.5 * off.mean() + 0.25 * off.amax(dim=(1, 2)).mean()
    loss = hidden_alignment(model, path, y, Terms(perceptual=((absolute, 0.5), (largest, 0.25))))
    torch.testing.assert_close(loss, hidden_alignment(model, path, y) + extra)
    each = off.mean(dim=(1, 2))
    adaptive = Terms(adaptive_weight=True, perceptual=((absolute, 0.5),))
    torch.testing.assert_close(
        hidden_alignment(model, path, y, adaptive),
        hidden_alignment(model, path, y, Terms(adaptive_weight=True)) + 0.5 * (each / (each + 0.01)).mean(),
    )


def test_a_name_that_does_not_exist_is_told_with_the_nearest():
    with pytest.raises(UserError, match="no perceptual distance 'efnet'; did you mean 'effnet'"):
        load_perceptual(["efnet"])
    with pytest.raises(UserError, match="no perceptual distance 'mse'; known: effnet"):
        feature_spaces_in_loss(["mse"])


def test_a_loss_has_seen_the_spaces_of_its_distances():
    assert feature_spaces_in_loss([]) == feature_spaces_in_loss(["lpips-vgg", "convnext-v2"]) == []
    assert feature_spaces_in_loss(PERCEPTUAL) == ["classifier", "effnet"]
    assert feature_spaces_in_loss({"effnet": 0.1}) == ["effnet"]
    assert all(set(entry.spaces) <= set(spaces()) for entry in PERCEPTUAL.values())


def test_a_classifier_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="The distance 'classifier' needs the classifier's file"):
        load_perceptual(["classifier"])
    with pytest.raises(UserError, match="nowhere.safetensors is missing"):
        load_perceptual(["classifier"], classifier=tmp_path / "nowhere.safetensors")


def test_a_training_with_the_classifier_s_distance_lowers_it_on_held_out_images(flow, classifier):
    config = changed(CONFIG, objective="naive", perceptual={"classifier": 0.4}, training={"steps": 40})
    data = quarters(96)
    training, held_out = data.subset(range(64)), data.subset(range(64, 96))
    flow, distance = flow.float(), classifier_distance(classifier)
    path, y = held_out_path(flow, held_out, range(32))
    torch.manual_seed(0)
    model = ReverseModel(reverse_spec(config, flow.spec))

    def held_out_distance(model):
        return distance(model.to_images(model(path.z, y)), model.to_images(path.clean)).mean().item()

    before = held_out_distance(model)
    weights = [p.clone() for p in distance.parameters()]
    loss = reverse_loss(flow, config, {"classifier": distance})
    trained = train(model, loss, training, config.training)
    assert held_out_distance(trained.model.eval()) < 0.8 * before
    assert all(torch.equal(a, b) for a, b in zip(weights, distance.parameters(), strict=True))


def test_a_loss_without_the_distances_that_its_config_names_is_not_built(flow):
    with pytest.raises(ValueError, match=r"needs the perceptual distances \['effnet'\]"):
        reverse_loss(flow, changed(CONFIG, perceptual={"effnet": 0.1}))
