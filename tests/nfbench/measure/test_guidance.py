"""The sweep of the guidance scale, on a sampler whose images are known."""

import numpy as np
import pytest
import torch

from nfbench.measure.classifier import ClassifierSpec, DomainClassifier, save_classifier
from nfbench.measure.features import extract
from nfbench.measure.guidance import sweep
from nfbench.measure.quality import frechet, statistics, write_reference
from nfbench.measure.scores import facts, scores
from nfbench.sample.sample_set import Draw, to_sample_set
from nfbench.sample.sampler import Sampled

CPU = torch.device("cpu")


class Shift:
    """Gives grey images of brightness w; those of class 1 are not finite from w = 0.5 on."""

    name, latent_shape, n_classes = "shift", (1, 4), 2

    def __init__(self):
        self.noise = []

    def sample(self, z, y, guidance=0.0):
        self.noise.append(z)
        images = torch.full((len(z), 1, 2, 2), float(guidance))
        if guidance >= 0.5:
            images[y == 1] = torch.nan
        return Sampled(images, nfe=2.0 if guidance else 1.0, score_evaluations=1)


def test_every_scale_is_drawn_from_the_same_noise_and_gives_a_row():
    sampler = Shift()
    rows = sweep(
        sampler, [0.0, 0.25, 0.5], seed=4, n=6, batch_size=4, device=CPU,
        score=lambda samples: {"brightness": float(samples.images.mean()), "n": samples.meta["n"]},
    )  # fmt: skip
    assert [row["scale"] for row in rows] == [0.0, 0.25, 0.5]
    assert [row["nfe"] for row in rows] == [1.0, 2.0, 2.0]
    assert [row["non_finite"] for row in rows] == [0, 0, 3]
    assert [row["brightness"] for row in rows[:2]] == [128, 159]
    assert all(row["n"] == 6 and row["score_evaluations"] == 1 and row["clipped"] == 0 for row in rows)
    assert torch.equal(sampler.noise[0], sampler.noise[2])
    assert torch.equal(sampler.noise[1], sampler.noise[5])


@pytest.fixture
def classifier(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "classifier.safetensors"
    spec = ClassifierSpec(channels=1, image_size=8, n_classes=2, width=4)
    save_classifier(path, DomainClassifier(spec).eval())
    return path


@pytest.fixture
def reference(classifier, tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    features = extract("classifier", images, classifier=classifier)
    return write_reference(
        tmp_path / "reference.npz", features, space="classifier", data_sha256="a", weights_sha256="b"
    )


def drawn(images, label=0):
    return to_sample_set(Draw(images, np.full(len(images), label), {}), {})


def test_scores_are_the_distance_and_the_share_of_labels_found(classifier, reference):
    samples = drawn(np.random.default_rng(2).uniform(-1, 1, (30, 1, 8, 8)).astype(np.float32))
    found = scores(samples, {"classifier": reference}, classifier, CPU)
    features = extract("classifier", samples.images, classifier=classifier)
    assert found["fd_classifier"] == frechet(statistics(features), reference.statistics)
    other = drawn(samples.images.astype(np.float32) / 127.5 - 1, label=1)
    assert np.array_equal(other.images, samples.images)
    other_found = scores(other, {"classifier": reference}, classifier, CPU)
    assert found["label_accuracy"] + other_found["label_accuracy"] == pytest.approx(1.0)
    unlabelled = drawn(samples.images.astype(np.float32) / 127.5 - 1, label=-1)
    assert scores(unlabelled, {"classifier": reference}, classifier, CPU)["label_accuracy"] is None


def test_a_set_with_an_image_that_is_not_finite_has_empty_cells(classifier, reference):
    images = np.zeros((30, 1, 8, 8), dtype=np.float32)
    images[3, 0, 0, 0] = np.inf
    found = scores(drawn(images), {"classifier": reference}, classifier, CPU)
    assert found == {"fd_classifier": None, "label_accuracy": None}


def test_too_few_images_bear_no_verdict(reference):
    assert facts(reference, 40)["rank_deficient"]
    assert facts(reference, 40)["n_reference"] == 40
