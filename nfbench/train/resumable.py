"""A training of the workflow: on the device of its experiment, and gone on from where it was cut off."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nfbench.config import TrainingConfig
from nfbench.data.datasets import Dataset
from nfbench.device import resolve_device, resolve_precision
from nfbench.provenance import config_hash
from nfbench.train.batches import ResidentBatches
from nfbench.train.loop import Loss, Phases, Trained, Trainer


@dataclass(frozen=True)
class Place:
    """Where and how a training runs.

    Attributes:
        device: what it runs on.
        precision: "fp32" or "bf16".
        compile: see `Trainer`.
    """

    device: torch.device
    precision: str
    compile: str = "never"

    @classmethod
    def chosen(cls, device: str, precision: str, compile: str = "never") -> "Place":
        """Read the settings `device`, `precision` and `compile` of an experiment file.

        Raises:
            UserError: the device is not there, or has no such precision.
        """
        found = resolve_device(device)
        return cls(found, resolve_precision(precision, found), compile)


@contextmanager
def training(
    model: nn.Module,
    loss: Loss | Phases,
    data: Dataset,
    config: TrainingConfig,
    *,
    place: Place,
    seed: int,
    output: str | Path,
    told_by: dict[str, Any],
    **options: Any,
) -> Iterator[Trained]:
    """Train to the end, and forget the unfinished state once the block has written what came of it.

    Args:
        model: on the place's device.
        data: what its batches are drawn from.
        output: the file that the block writes; the unfinished state lies beside it.
        told_by: what tells this training from another with the same output. Seed, precision and kind of
            device are always part of it; a training goes on after a move to another card of that kind.
        options: of `Trainer`: evaluate and report.
    """
    resume = Path(output).with_suffix(".resume.pt")
    key = config_hash({"on": [place.precision, place.device.type], "seed": seed} | told_by)
    yield Trainer(
        model,
        loss,
        ResidentBatches(data, config.batch_size, seed, place.device),
        config,
        seed=seed,
        device=place.device,
        precision=place.precision,
        compile=place.compile,
        resume=resume,
        resume_key=key,
        **options,
    ).run()
    resume.unlink(missing_ok=True)
