"""Our own checkpoints of a TARFlow: weights and architecture in one safetensors file."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from baselines.tarflow.model import TarFlow, TarFlowSpec
from nfbench.train.checkpoint import load_model, save_checkpoint

KIND = "tarflow"


def save_flow(
    path: str | Path,
    flow: TarFlow,
    meta: dict[str, Any] | None = None,
    kept: Mapping[int, Mapping[str, Tensor]] | None = None,
) -> None:
    """Write a flow, its architecture, further JSON-able facts, and weights at earlier steps."""
    architecture = dataclasses.asdict(flow.spec)
    save_checkpoint(path, flow, KIND, {"architecture": architecture} | (meta or {}), kept)


def load_flow(path: str | Path, step: int | None = None) -> TarFlow:
    """Read a flow, in evaluation mode on the CPU; `nfbench.train.checkpoint.read_meta` reads its metadata.

    Args:
        step: of an earlier checkpoint in the same file; None for the final weights.

    Raises:
        UserError: the file is missing, corrupt, no TARFlow, or has no weights of that step.
    """
    return load_model(path, KIND, lambda architecture: TarFlow(TarFlowSpec(**architecture)), step)
