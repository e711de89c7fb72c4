"""The energy distance of images from the prior: laws, known answers, and what it trains."""

import math

import pytest
import torch

from biflow import ReverseModel
from biflow.energy import energy_distance, labelled, prior_energy
from biflow.feature_distance import FeatureDistance
from biflow.training import calibrate, reverse_loss, reverse_spec
from nfbench.train.trainer import Phases
from tests.biflow.toy import CONFIG as PLAIN
from tests.biflow.toy import TRAINING, changed, train

CONFIG = changed(PLAIN, energy={"classifier": 5.0}, energy_start=0.5)


def normal(n, features, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, features, dtype=torch.float64, generator=generator)


@pytest.fixture
def pixels():
    """Return a distance whose features are the pixels themselves, signs and lengths kept."""

    def stages(x):
        flat = x.reshape(len(x), 1, -1)
        return [torch.cat([flat, torch.full_like(flat, 2.0)], dim=1)]

    return FeatureDistance(torch.nn.Identity(), _Call(stages))


class _Call(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_a_known_pair_of_sets_has_a_known_distance():
    a, b = torch.tensor([[0.0], [3.0]]), torch.tensor([[0.0], [1.0]])
    # Between: mean of 0, 1, 3 and 2. Within: 3 and 1. Without bias, so that it may be negative.
    assert energy_distance(a, b).item() == pytest.approx(2 * 1.5 - 3 - 1)


def test_two_normal_distributions_have_the_distance_that_theory_gives():
    shift = 1.5
    between = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)
    within = 2 / math.sqrt(math.pi)
    found = energy_distance(normal(3000, 1, 0), normal(3000, 1, 1) + shift)
    assert found.item() == pytest.approx(2 * between - 2 * within, rel=0.05)


def test_samples_of_one_distribution_have_none_on_average():
    found = torch.stack([energy_distance(normal(8, 3, 2 * i), normal(8, 3, 2 * i + 1)) for i in range(400)])
    error = found.std() / len(found) ** 0.5
    assert found.mean().abs() < 3 * error
    assert (found < 0).any()


def test_the_gradient_is_that_of_its_values():
    a, b = normal(4, 3, 0).requires_grad_(True), normal(5, 3, 1)
    assert torch.autograd.gradcheck(energy_distance, (a, b))


def test_images_under_another_class_s_label_are_far_off():
    y = torch.arange(600) % 2
    points, others = (0.1 * normal(600, 2, seed) + 0.5 * y[:, None] for seed in (0, 1))
    right = energy_distance(labelled(points, y, 2), labelled(others, y, 2))
    wrong = energy_distance(labelled(points, y, 2), labelled(others, 1 - y, 2))
    unlabelled = energy_distance(labelled(points, None, 2), labelled(others, None, None))
    assert wrong > 0.05
    assert abs(right) < 0.005
    assert abs(unlabelled) < 0.005


def test_a_dropped_label_is_a_class_of_its_own():
    points = labelled(torch.zeros(4, 1, dtype=torch.float64), torch.tensor([0, 2, -1, -1]), 3)
    apart = torch.cdist(points, points)
    assert apart[0, 1] == apart[0, 2] == apart[1, 3] > 0
    assert apart[2, 3] == 0


def test_features_lie_apart_by_the_distance(pixels):
    a, b = torch.rand(2, 5, 1, 6, 6, dtype=torch.float64).unbind()
    squared = (pixels.features(a) - pixels.features(b)).square().sum(dim=1)
    torch.testing.assert_close(pixels(a, b), squared)


def test_images_from_the_prior_are_of_the_generator_s_noise_and_the_batch_s_labels(model, path, y, pixels):
    def energy(y, seed):
        return prior_energy(model, path.clean, y, [(pixels, 2.0)], torch.Generator().manual_seed(seed))

    z = torch.randn(path.z.shape, dtype=path.z.dtype, generator=torch.Generator().manual_seed(7))
    drawn, real = model.to_images(model(z, y)), model.to_images(path.clean)
    expected = energy_distance(*(labelled(pixels.features(x), y, 4) for x in (drawn, real)))
    torch.testing.assert_close(energy(y, 7), 2 * expected)
    assert energy(y, 8) != energy(y, 7) != energy(y.roll(1), 7)
    energy(y, 7).backward()
    assert model.out.linear.weight.grad.any()


def test_it_comes_in_when_it_is_told_to(flow, images, pixels):
    loss = reverse_loss(flow.float(), CONFIG, {"classifier": pixels})
    assert isinstance(loss, Phases)
    assert [loss.at(step) is loss.late for step in (0, 24, 25, 49)] == [False, False, True, True]
    torch.manual_seed(0)
    model = ReverseModel(reverse_spec(CONFIG, flow.spec))
    pixel_values, labels = torch.from_numpy(images.images[:8]), torch.from_numpy(images.labels[:8])
    parts = loss.early, loss.late
    early, late = (part(model, pixel_values, labels, torch.Generator().manual_seed(3)) for part in parts)
    assert late != early


def test_a_training_with_it_brings_images_from_the_prior_nearer(flow, images, pixels):
    flow = flow.float()
    y = torch.from_numpy(images.labels)
    clean = torch.from_numpy(images.images).float() / 127.5 - 1

    def distance_after(config):
        torch.manual_seed(0)
        model = ReverseModel(reverse_spec(config, flow.spec))
        calibrate(model, flow, images, seed=0)
        trained = train(model, reverse_loss(flow, config, {"classifier": pixels}), images, TRAINING)
        z = torch.randn(len(y), 9, 4, generator=torch.Generator().manual_seed(11))
        with torch.no_grad():
            drawn = trained.model.to_images(trained.model(z, y))
        points = (labelled(pixels.features(x), y, 4) for x in (drawn, clean))
        return energy_distance(*points).item()

    assert distance_after(CONFIG) < 0.9 * distance_after(PLAIN)
