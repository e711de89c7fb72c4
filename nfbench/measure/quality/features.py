"""Feature spaces for torch-fidelity: EfficientNet-Lite0, the domain classifier, Inception-v3, DINOv2."""

import hashlib
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor
from torch_fidelity.utils import create_feature_extractor, get_featuresdict_from_dataset

from nfbench.errors import UserError, closest
from nfbench.files import sha256_file
from nfbench.measure.quality import classifier as domain
from nfbench.measure.quality import efficientnet, pretrained
from nfbench.script import progress

LAYER = "features"  # the one layer that each of our extractors offers

# Measured to be fastest on a CPU; 128 was a quarter slower.
BATCH_SIZE = 64

IMAGES_PER_REPORT = 4096


class _OneLayerExtractor(FeatureExtractorBase):
    """An extractor with a single layer of features."""

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """Return the names of the layers on offer."""
        return (LAYER,)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """Return the layer for "fid", "kid" or "prc"."""
        if metric not in ("fid", "kid", "prc"):
            raise ValueError(f"no layer of this feature extractor serves the metric {metric!r}")
        return LAYER

    @staticmethod
    def can_be_compiled() -> bool:
        """Return whether torch.compile may wrap the extractor."""
        return True

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        """Return an input of the right type, uint8 (4, 3, 64, 64)."""
        return torch.zeros(4, 3, 64, 64, dtype=torch.uint8)


class EfficientNetExtractor(_OneLayerExtractor):
    """EfficientNet-Lite0's last feature map, averaged over all places.

    Images are resized (bicubic, antialiased, neither rounded nor clamped after) to `image_size`
    and normalised as in its training, (v - 127) / 128.

    Args:
        name: the registered name.
        features_list: [LAYER].
        image_size: side of the network's inputs, pixels.
        options: other keywords of torch-fidelity; not used.
    """

    def __init__(self, name: str, features_list: list[str], image_size: int = 64, **options: Any) -> None:
        super().__init__(name, features_list)
        self.image_size = image_size
        self.network = efficientnet.pooled_features(efficientnet.load_published(image_size))

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Map images, uint8 (B, 3, H, W), to float32 features, (B, 1280)."""
        x = (images.float() - 127) / 128
        x = F.interpolate(x, size=2 * (self.image_size,), mode="bicubic", antialias=True)
        return (self.network(x.contiguous(memory_format=torch.channels_last)),)


class ClassifierExtractor(_OneLayerExtractor):
    """The features of a DomainClassifier.

    Args:
        name: the registered name.
        features_list: [LAYER].
        feature_extractor_weights_path: the classifier's file.
        options: other keywords of torch-fidelity; not used.

    Raises:
        UserError: no such classifier.
    """

    def __init__(
        self,
        name: str,
        features_list: list[str],
        feature_extractor_weights_path: str | Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, features_list)
        self.model = domain.load_classifier(_classifier_path(feature_extractor_weights_path))

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Map images, uint8 (B, 3, H, W), to float32 features, (B, 64).

        A grey image arrives as three equal channels, of which a grey classifier reads the first.

        Raises:
            ValueError: the images are of another size than the classifier's.
        """
        spec = self.model.spec
        if tuple(images.shape[-2:]) != (spec.image_size, spec.image_size):
            raise ValueError(f"images {tuple(images.shape)} do not fit the classifier {spec}")
        return (self.model.features(domain.to_float(images[:, : spec.channels])),)


@dataclass(frozen=True)
class _Space:
    summary: str
    extractor: type[FeatureExtractorBase]
    weights: Callable[[str | Path | None], Path]
    layer: str = LAYER
    logits: str | None = None  # the layer of the Inception score, where that is defined


def _classifier_path(path: str | Path | None) -> Path:
    if path is None:
        raise UserError(
            "The feature space 'classifier' needs the classifier's file; give its path"
            " (feature_extractor_weights_path where torch-fidelity is called directly)."
        )
    return Path(path)


_SPACES = {
    "effnet": _Space(
        "EfficientNet-Lite0 trained on ImageNet, 1280 features of images resized to 64 pixels",
        EfficientNetExtractor,
        lambda _: efficientnet.weights_path(),
    ),
    "classifier": _Space(
        "a small classifier trained on the data set's own training part, 64 features",
        ClassifierExtractor,
        _classifier_path,
    ),
    "inception": _Space(
        "Inception-v3, the space of FID, 2048 features of images resized to 299 pixels; needs its weights",
        pretrained.InceptionExtractor,
        lambda _: pretrained.inception_weights(),
        pretrained.INCEPTION_LAYER,
        pretrained.INCEPTION_LOGITS,
    ),
    "dinov2": _Space(
        "DINOv2 ViT-L/14, 1024 features of images resized to 224 pixels; needs its weights and code",
        pretrained.DinoExtractor,
        lambda _: pretrained.dino_weights(),
        pretrained.DINO_LAYER,
    ),
}


def spaces() -> dict[str, str]:
    """Return {name: one line on it} for every feature space."""
    return {name: space.summary for name, space in _SPACES.items()}


def extractor_name(space: str) -> str:
    """Return torch-fidelity's name of a space.

    Raises:
        UserError: no such space.
    """
    if space not in _SPACES:
        raise UserError(f"There is no feature space '{space}'; {closest(space, list(_SPACES))}")
    return f"nfbench-{space}"


def has_logits(space: str) -> bool:
    """Return whether the Inception score is defined in a space."""
    return _SPACES[space].logits is not None


def register_extractors() -> None:
    """Register the extractors with torch-fidelity; calling it again does nothing."""
    for name, space in _SPACES.items():
        if extractor_name(name) not in FEATURE_EXTRACTORS_REGISTRY:
            register_feature_extractor(extractor_name(name), space.extractor)


def weights_sha256(space: str, classifier: str | Path | None = None) -> str:
    """Return the SHA-256 of the weights file behind a space.

    Raises:
        UserError: no such space, or its file is missing.
    """
    extractor_name(space)
    path = _SPACES[space].weights(classifier)
    if not path.is_file():
        raise UserError(f"The weights {path} of the feature space '{space}' are missing.")
    return sha256_file(path)


class ImageDataset(TorchDataset):
    """Images for torch-fidelity: uint8 (3, H, W), grey repeated to three channels.

    Args:
        images: uint8, (N, c, H, W), c 1 or 3.

    Raises:
        ValueError: another type or shape.
    """

    def __init__(self, images: np.ndarray) -> None:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"images must be uint8 (N, 1 or 3, H, W), not {images.dtype} {images.shape}")
        self.images = torch.from_numpy(np.require(images, requirements=["C", "W"]))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index].expand(3, -1, -1)


def extract(space: str, images: np.ndarray, **options: Any) -> np.ndarray:
    """Compute features; arguments and errors of `extract_with_logits`."""
    return extract_with_logits(space, images, **options)[0]


def extract_with_logits(
    space: str,
    images: np.ndarray,
    *,
    classifier: str | Path | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = BATCH_SIZE,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Compute features, and the logits of the Inception score, by torch-fidelity's own loop in float32.

    No TF32. An image's features depend on the image alone, up to rounding, so equal images, e.g. the means
    of classes, are computed once.

    Args:
        space: a key of `spaces()`.
        images: uint8, (N, c, H, W), c 1 or 3.
        classifier: the classifier's file; only the space "classifier" reads it.
        device: where to compute.
        batch_size: images at a time.
        report: takes a line of progress now and then.

    Returns:
        Features, float32, (N, dim): 1280 for "effnet", 64 for "classifier", 2048 for "inception", 1024 for
        "dinov2"; and logits (N, 1008), None in spaces where that score is not defined.

    Raises:
        UserError: no such space, or its weights are missing or corrupt.
        ValueError: no images, wrong images, or features that are not finite.
    """
    name, device = extractor_name(space), torch.device(device)
    if len(images) == 0:
        raise ValueError("there are no images to extract features from")
    numbers: dict[bytes, int] = {}  # of distinct images, in the order of their first
    digests = (hashlib.blake2b(image.tobytes()).digest() for image in images)
    which = np.array([numbers.setdefault(digest, len(numbers)) for digest in digests])
    data = ImageDataset(images[np.unique(which, return_index=True)[1]])
    layers = [layer for layer in (_SPACES[space].layer, _SPACES[space].logits) if layer]
    cuda = device.type == "cuda"
    options = {"feature_extractor_weights_path": classifier, "verbose": False}
    chunks: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    with torch.cuda.device(device) if cuda else nullcontext(), domain.full_precision():
        extractor = create_feature_extractor(name, layers, cuda=cuda, **options)
        started = time.monotonic()
        for start in range(0, len(data), IMAGES_PER_REPORT):
            chunk = Subset(data, range(start, min(len(data), start + IMAGES_PER_REPORT)))
            features = get_featuresdict_from_dataset(
                chunk, extractor, batch_size, cuda=cuda, save_cpu_ram=True, verbose=False
            )
            for layer in layers:
                chunks[layer].append(features[layer].numpy())
            report(f"{space} features  {progress(start + len(chunk), len(data), started)}")
    found = [_finite(space, np.concatenate(chunks[layer])[which]) for layer in layers]
    return found[0], (found[1] if len(found) > 1 else None)


def _finite(space: str, features: np.ndarray) -> np.ndarray:
    """Return the features (N, dim); raise where an image's are not finite."""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise ValueError(f"{space} features of {len(bad)} images, first {bad[0]}, are not finite")
    return features


register_extractors()
