"""Our own checkpoints of a TARFlow: weights and architecture in one safetensors file."""

import dataclasses
from pathlib import Path
from typing import Any

from baselines.tarflow.model import TarFlow, TarFlowSpec
from nfbench.train.checkpoint import load_model, save_checkpoint

KIND = "tarflow"


def save_flow(path: str | Path, flow: TarFlow, meta: dict[str, Any] | None = None) -> None:
    """Write a flow, its architecture and further JSON-able facts (training, provenance)."""
    architecture = dataclasses.asdict(flow.spec)
    save_checkpoint(path, flow, KIND, {"architecture": architecture} | (meta or {}))


def load_flow(path: str | Path) -> tuple[TarFlow, dict[str, Any]]:
    """Read a flow, in evaluation mode on the CPU, and what is known of it.

    Raises:
        UserError: the file is missing, corrupt or no TARFlow.
    """
    return load_model(path, KIND, lambda architecture: TarFlow(TarFlowSpec(**architecture)))


def as_flow(model: TarFlow | str | Path) -> TarFlow:
    """Return a flow, read from its checkpoint where a path is given."""
    return load_flow(model)[0] if isinstance(model, str | Path) else model
