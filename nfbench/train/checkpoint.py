"""Checkpoints that hold their architecture beside their weights and load without pickle."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nfbench.errors import UserError
from nfbench.files import atomic_path

EARLY = "checkpoint.{}."  # prefix of the weights of an earlier step


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    kind: str,
    meta: dict[str, Any],
    kept: Mapping[int, Mapping[str, Tensor]] | None = None,
) -> None:
    """Write a model's weights and buffers to one safetensors file.

    Args:
        kind: what the file holds, e.g. "tarflow"; checked on loading.
        meta: JSON-able; by convention `architecture`, `training` and `provenance`.
        kept: weights at earlier steps, see `nfbench.train.trainer.Trained`.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for step, weights in (kept or {}).items():
        tensors |= {EARLY.format(step) + name: value.contiguous() for name, value in weights.items()}
    header = {"kind": kind} | {key: json.dumps(value) for key, value in meta.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def load_checkpoint(
    path: str | Path, kind: str, step: int | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read weights (on the CPU) and metadata.

    Args:
        step: of an earlier checkpoint in the same file; None for the final weights.

    Raises:
        UserError: the file is missing, corrupt, of another kind, or has no weights of that step.
    """
    tensors, meta = _read(path, step=step)
    found = meta.pop("kind", "unknown")
    if found != kind:
        raise UserError(f"Checkpoint {path} holds a model of kind '{found}'; expected '{kind}'.")
    if not tensors:
        raise UserError(
            f"Checkpoint {path} has no weights of step {step}; train it again with that checkpoint."
        )
    return tensors, meta


def load_model(
    path: str | Path, kind: str, build: Callable[[dict[str, Any]], nn.Module], step: int | None = None
) -> nn.Module:
    """Build a model from its stored architecture and give it its weights, in evaluation mode on the CPU.

    Its weights take no gradient: denoising, which needs that of the images alone, is then a tenth faster.

    `read_meta` gives what is known of its training; `step` is that of `load_checkpoint`.

    Raises:
        UserError: the file is missing, corrupt, of another kind, or of another version of the model.
    """
    state, meta = load_checkpoint(path, kind, step)
    try:
        model = build(meta["architecture"])
        model.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"Checkpoint {path} is of another version of '{kind}' ({reason}); train it again."
        ) from None
    return model.eval().requires_grad_(False)


def read_meta(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint's meta data alone; `kind` is among them.

    Raises:
        UserError: the file is missing or corrupt.
    """
    _, meta = _read(path, weights=False)
    return meta


def _read(
    path: str | Path, weights: bool = True, step: int | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not Path(path).is_file():
        raise UserError(f"Checkpoint {path} does not exist; run snakemake to train it.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = [name for name in file.keys() if weights and _is_of(name, step)]  # noqa: SIM118
            prefix = "" if step is None else EARLY.format(step)
            tensors = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"Checkpoint {path} is corrupt ({error}); delete it and run snakemake to train it again."
        ) from None
    kind = header.pop("kind", "unknown")
    return tensors, {"kind": kind} | {key: json.loads(value) for key, value in header.items()}


def _is_of(name: str, step: int | None) -> bool:
    """Whether a tensor belongs to the weights of a step; None for the final ones."""
    early = EARLY.partition("{}")[0]
    return not name.startswith(early) if step is None else name.startswith(EARLY.format(step))
