"""Published networks as feature spaces: torch-fidelity's numbers with random weights, and missing files."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_fidelity import calculate_metrics, feature_extractor_inceptionv3

from nfbench.errors import UserError
from nfbench.measure.quality.distances import inception_score
from nfbench.measure.quality.features import ImageDataset, extract, extract_with_logits, weights_sha256
from nfbench.measure.quality.pretrained import (
    DINO_CODE_FOLDER,
    DINO_LAYER,
    DINO_MODEL,
    DINO_URL,
    INCEPTION_LAYER,
    INCEPTION_LOGITS,
    URL_INCEPTION_V3,
    DinoExtractor,
    InceptionExtractor,
)

INCEPTION_FILE = URL_INCEPTION_V3.rsplit("/", 1)[1]
DINO_FILE = DINO_URL.rsplit("/", 1)[1]

# What DINOv2's own code offers, on a network of one layer.
HUBCONF = f"""
from torch import nn
dependencies = ["torch"]
def {DINO_MODEL}(pretrained=True):
    assert not pretrained
    return nn.Sequential(nn.AvgPool2d(56), nn.Flatten(), nn.Linear(48, 5))
"""


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(10, 3, 8, 8), dtype=np.uint8)


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for torch with Inception's weights, random."""
    home = tmp_path_factory.mktemp("torch")
    folder = home / "hub/checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        network = feature_extractor_inceptionv3.FeatureExtractorInceptionV3
        patch.setattr(feature_extractor_inceptionv3, "load_state_dict_from_url", lambda url, progress: {})
        patch.setattr(network, "load_state_dict", lambda self, state: None)
        random = network("random", ["2048"])
    torch.save(random.state_dict(), folder / INCEPTION_FILE)
    return home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give torch an empty folder."""
    return use(tmp_path, monkeypatch)


def use(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(home))
    (home / "hub/checkpoints").mkdir(parents=True, exist_ok=True)
    return home


def test_inception_s_score_is_torch_fidelity_s(inception: Path, images: np.ndarray, monkeypatch):
    use(inception, monkeypatch)
    theirs = calculate_metrics(
        input1=ImageDataset(images),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(inception / "hub/checkpoints" / INCEPTION_FILE),
        isc=True,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    features, logits = extract_with_logits("inception", images, batch_size=5)
    assert (features.shape, logits.shape) == ((10, 2048), (10, 1008))
    mean, std = inception_score(logits)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-5)
    assert std == pytest.approx(theirs["inception_score_std"], rel=1e-3, abs=1e-6)


def test_distances_and_score_are_taken_from_the_layers_that_torch_fidelity_takes():
    layer_of = InceptionExtractor.get_default_feature_layer_for_metric
    layers = {metric: layer_of(metric) for metric in ("fid", "kid", "prc", "isc")}
    assert layers == dict.fromkeys(("fid", "kid", "prc"), INCEPTION_LAYER) | {"isc": INCEPTION_LOGITS}
    assert DinoExtractor.get_default_feature_layer_for_metric("fid") == DINO_LAYER


def test_only_inception_has_logits(images: np.ndarray):
    assert extract_with_logits("effnet", images[:2])[1] is None


@pytest.mark.parametrize("space", ["inception", "dinov2"])
def test_missing_weights_are_told_with_file_source_and_folder(home: Path, images: np.ndarray, space: str):
    file, url = (INCEPTION_FILE, URL_INCEPTION_V3) if space == "inception" else (DINO_FILE, DINO_URL)
    told = rf"'{space}' needs {re.escape(str(home))}/hub/checkpoints/{file}; download it from {url}"
    with pytest.raises(UserError, match=told):
        weights_sha256(space)


def test_weights_of_another_network_are_refused(home: Path, images: np.ndarray):
    path = home / "hub/checkpoints" / INCEPTION_FILE
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match=rf"{INCEPTION_FILE} holds other weights"):
        extract("inception", images)
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="is corrupt"):
        extract("inception", images)


def test_dinov2_comes_from_its_own_code_and_the_weights_on_disk(home: Path, images: np.ndarray):
    with pytest.raises(UserError, match=f"needs the code in .*{DINO_CODE_FOLDER}; clone"):
        extract("dinov2", images)
    (home / "hub" / DINO_CODE_FOLDER).mkdir()
    (home / "hub" / DINO_CODE_FOLDER / "hubconf.py").write_text(HUBCONF)
    with pytest.raises(UserError, match=rf"needs .*{DINO_FILE}"):
        extract("dinov2", images)
    weights = {"2.weight": torch.zeros(5, 48), "2.bias": torch.arange(5.0)}
    torch.save(weights, home / "hub/checkpoints" / DINO_FILE)
    np.testing.assert_array_equal(extract("dinov2", images), np.tile(np.arange(5, dtype=np.float32), (10, 1)))
    torch.save(weights | {"2.bias": torch.zeros(4)}, home / "hub/checkpoints" / DINO_FILE)
    with pytest.raises(UserError, match="holds other weights"):
        extract("dinov2", images)
