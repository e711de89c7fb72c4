"""Checkpoints of reverse models: weights and architecture in one safetensors file."""

import dataclasses
from pathlib import Path
from typing import Any

from biflow.model import ReverseModel, ReverseSpec
from nfbench.train.checkpoint import load_model, save_checkpoint

KIND = "biflow-reverse"


def save_reverse(path: str | Path, model: ReverseModel, meta: dict[str, Any] | None = None) -> None:
    """Write a reverse model, its architecture and further JSON-able facts (training, provenance)."""
    architecture = dataclasses.asdict(model.spec)
    save_checkpoint(path, model, KIND, {"architecture": architecture} | (meta or {}))


def load_reverse(path: str | Path) -> tuple[ReverseModel, dict[str, Any]]:
    """Read a reverse model, in evaluation mode on the CPU, and what is known of it.

    Raises:
        UserError: the file is missing, corrupt or no reverse model.
    """
    return load_model(path, KIND, lambda architecture: ReverseModel(ReverseSpec(**architecture)))
