"""Checkpoints of reverse models: weights and architecture in one safetensors file."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from biflow.model import ReverseModel, ReverseSpec
from nfbench.train.checkpoint import load_model, save_checkpoint

KIND = "biflow-reverse"


def save_reverse(
    path: str | Path,
    model: ReverseModel,
    meta: dict[str, Any] | None = None,
    kept: Mapping[int, Mapping[str, Tensor]] | None = None,
) -> None:
    """Write a reverse model with its architecture, further metadata, and weights at earlier steps."""
    architecture = dataclasses.asdict(model.spec)
    save_checkpoint(path, model, KIND, {"architecture": architecture} | (meta or {}), kept)


def load_reverse(path: str | Path, step: int | None = None) -> ReverseModel:
    """Read a reverse model, in evaluation mode on the CPU.

    Args:
        step: of an earlier checkpoint in the same file; None for the final weights.

    Raises:
        UserError: the file is missing, corrupt, no reverse model, or has no weights of that step.
    """
    return load_model(path, KIND, lambda architecture: ReverseModel(ReverseSpec(**architecture)), step)
