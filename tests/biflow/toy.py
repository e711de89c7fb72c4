"""What the tests of training share: small configurations, images and a training of a few steps."""

import numpy as np
import torch

from nfbench.config import ReverseConfig, TrainingConfig
from nfbench.data.datasets import Dataset
from nfbench.runtime import Runtime
from nfbench.train.trainer import ResidentBatches, Trainer

CPU = torch.device("cpu")
SIZES = {"channels": 1, "image_size": 6, "patch_size": 2, "width": 16, "blocks": 3, "n_classes": 4}
W_MAX = 2.0
TRAINING = TrainingConfig(
    steps=50, batch_size=16, optimizer="adamw", learning_rate=3e-3, warmup_steps=5, ema_decay=0.0
)
CONFIG = ReverseConfig(objective="alignment", width=16, layers=1, head_dim=8, training=TRAINING)
FARMER = ReverseConfig(objective="farmer", training=TRAINING)
GUIDED = CONFIG.model_copy(update={"guidance_max": W_MAX})


def changed(config, **changes):
    """Return a configuration with some keys changed, checked anew; of its training with training={...}."""
    training = config.training.model_dump() | changes.pop("training", {})
    return ReverseConfig.model_validate(config.model_dump() | {"training": training} | changes)


def quarters(n):
    """Return n images of four classes, one bright quarter each."""
    images = np.random.default_rng(0).integers(0, 60, (n, 1, 6, 6), dtype=np.uint8)
    labels = np.arange(n, dtype=np.int64) % 4
    for image, label in zip(images, labels, strict=True):
        row, column = 3 * (label // 2), 3 * (label % 2)
        image[0, row : row + 3, column : column + 3] += 180
    return Dataset("toy", images, labels, tuple("abcd"))


def train(model, loss, data, training, evaluate=None):
    """Train on the CPU and return what the training leaves."""
    batches = ResidentBatches(data, training.batch_size, 0, CPU)
    options = {"runtime": Runtime(CPU, "fp32"), "evaluate": evaluate, "report": lambda line: None}
    return Trainer(model, loss, batches, training, seed=0, **options).run()
