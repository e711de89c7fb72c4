"""The domain classifier, trained on the data set itself: a feature space, and label accuracy."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nfbench.data.datasets import Dataset
from nfbench.data.pixels import to_float
from nfbench.errors import UserError
from nfbench.files import atomic_path

FEATURES = 64
METADATA_KEY = "nfbench_classifier"

# Settings of `train_classifier` by data set; they belong to the data set, so that all experiments share one
# classifier. Other data sets have the defaults.
CLASSIFIER_SETTINGS: dict[str, dict[str, Any]] = {
    "fashion14": {"epochs": 3},
    "fashion": {"epochs": 3},
    "digits": {"epochs": 30, "batch_size": 64},
}


@dataclass(frozen=True)
class ClassifierSpec:
    """Architecture of a DomainClassifier.

    Attributes:
        channels: channels of an image.
        image_size: side of an image, pixels, 4 or more.
        n_classes: number of classes.
        width: channels after the first convolution; doubled at the first halving of the image.
    """

    channels: int
    image_size: int
    n_classes: int
    width: int = 32


class DomainClassifier(nn.Module):
    """Strided 3x3 convolutions down to at most 4x4 places, 64 features, one linear layer.

    Each layer is convolution, batch norm, ReLU. It is small on purpose and trained in seconds.
    """

    def __init__(self, spec: ClassifierSpec) -> None:
        super().__init__()
        self.spec = spec
        widths, size = [spec.width], spec.image_size
        while size > 4:
            widths.append(2 * spec.width)
            size = (size + 1) // 2
        layers = _convolution(spec.channels, widths[0], stride=1)
        for before, after in zip(widths, widths[1:], strict=False):
            layers += _convolution(before, after, stride=2)
        self.trunk = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(widths[-1] * size**2, FEATURES, bias=False),
            nn.BatchNorm1d(FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, spec.n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Map images in [-1, 1], (B, c, H, W), to non-negative features, (B, 64)."""
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [-1, 1], (B, c, H, W), to logits, (B, n_classes)."""
        return self.head(self.features(x))


def train_classifier(
    train: Dataset,
    validation: Dataset,
    *,
    seed: int = 0,
    epochs: int = 3,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    width: int = 32,
    device: torch.device | str = "cpu",
    report: Callable[[str], None] = lambda line: None,
) -> DomainClassifier:
    """Train a classifier by cross-entropy: AdamW and a one-cycle learning rate.

    The same arguments give the same weights on the same machine and number of threads.

    Args:
        train: the training images.
        validation: images whose accuracy is reported after every epoch; nothing is chosen by it.
        seed: of the initial weights and of the order of the images.
        epochs: passes over `train`.
        batch_size: images per step; the last, smaller batch of an epoch is left out.
        learning_rate: the peak.
        width: see ClassifierSpec.
        device: where to train.
        report: called with one line after every epoch.

    Returns:
        The classifier in evaluation mode, on `device`.

    Raises:
        ValueError: fewer training images than one batch.
    """
    if len(train) < batch_size:
        raise ValueError(f"batch_size {batch_size} is more than the {len(train)} images")
    channels, image_size = train.images.shape[1], train.images.shape[-1]
    spec = ClassifierSpec(channels, image_size, len(train.classes), width)
    # Channels last makes convolutions on a CPU 1.4 times as fast.
    model = _initialised(spec, seed).to(device, memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2, fused=True)
    steps = epochs * (len(train) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps + 1)
    start = time.perf_counter()
    for epoch in range(epochs):
        loss = _train_epoch(model, train, batch_size, generator, optimiser, schedule)
        seconds = time.perf_counter() - start
        right = accuracy(model, validation.images, validation.labels) if len(validation) else None
        report(
            f"classifier epoch {epoch + 1}/{epochs} · loss {loss:.3f}"
            + ("" if right is None else f" · validation accuracy {right:.3f}")
            + f" · {(epoch + 1) * len(train) / seconds:.0f} images/s"
            + f" · {seconds / (epoch + 1) * (epochs - epoch - 1):.0f} s left"
        )
    return model.eval()


@torch.no_grad()
def logits(model: DomainClassifier, images: np.ndarray, *, batch_size: int = 512) -> Tensor:
    """Return the logits, (N, n_classes) on the CPU, of uint8 images (N, c, H, W)."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with full_precision():
        parts = [
            model(to_float(images[first : first + batch_size]).to(device)).cpu()
            for first in range(0, len(images), batch_size)
        ]
    model.train(was_training)
    return torch.cat(parts) if parts else torch.empty(0, model.spec.n_classes)


def predict(model: DomainClassifier, images: np.ndarray, *, batch_size: int = 512) -> np.ndarray:
    """Return the likeliest class of each uint8 image (N, c, H, W), int64 (N,)."""
    return logits(model, images, batch_size=batch_size).argmax(dim=1).numpy()


def accuracy(model: DomainClassifier, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share, 0 to 1, of uint8 images (N, c, H, W) whose likeliest class is their label.

    Raises:
        ValueError: no images, or another number of labels.
    """
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(f"{len(images)} images and {len(labels)} labels")
    return float(np.mean(predict(model, images) == np.asarray(labels)))


def save_classifier(path: str | Path, model: DomainClassifier) -> None:
    """Write weights and architecture to one safetensors file; equal models give equal bytes."""
    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    metadata = {METADATA_KEY: json.dumps(asdict(model.spec), sort_keys=True)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def load_classifier(path: str | Path, device: torch.device | str = "cpu") -> DomainClassifier:
    """Load a file of `save_classifier`, in evaluation mode.

    Raises:
        UserError: the file is missing, corrupt or holds something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            described = (file.metadata() or {}).get(METADATA_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if described is None:
            raise UserError(f"{path} holds no classifier; name a file that save_classifier wrote.")
        model = DomainClassifier(ClassifierSpec(**json.loads(described)))
        model.load_state_dict(tensors)
    except FileNotFoundError:
        raise UserError(f"The classifier {path} is missing; run snakemake to train it.") from None
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"The classifier {path} is corrupt ({reason}); delete it and train it again."
        ) from None
    return model.eval().to(device)


@contextmanager
def full_precision() -> Iterator[None]:
    """Run convolutions deterministically and in float32, not TF32, on a GPU."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def _convolution(channels_in: int, channels_out: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)]


def _initialised(spec: ClassifierSpec, seed: int) -> DomainClassifier:
    """Build a model whose initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DomainClassifier(spec)


def _train_epoch(
    model: DomainClassifier,
    train: Dataset,
    batch_size: int,
    generator: torch.Generator,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """Make one pass in random order; return the mean loss, nats."""
    device = next(model.parameters()).device
    images, labels = (
        torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in (train.images, train.labels)
    )
    order = torch.randperm(len(train), generator=generator)
    batches = order[: len(order) // batch_size * batch_size].split(batch_size)
    total = torch.zeros((), device=device)
    model.train()
    with full_precision():
        for batch in batches:
            x = to_float(images[batch]).to(device, memory_format=torch.channels_last)
            loss = F.cross_entropy(model(x), labels[batch].to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.detach()
    return total.item() / len(batches)
