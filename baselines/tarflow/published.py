"""Checkpoints of the published TARFlow code: a raw fp32 state dict in the layout of our own modules."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from baselines.tarflow.model import TarFlow, TarFlowSpec
from nfbench.errors import UserError

FILE_NAME = re.compile(
    r"(?P<dataset>.+)_model_(?P<patch>\d+)_(?P<width>\d+)_(?P<blocks>\d+)_(?P<layers>\d+)_(?P<sigma>\d\.\d+)$"
)


def load_published(
    source: str | Path | Mapping[str, Tensor],
    patch_size: int | None = None,
    head_dim: int = 64,
    sigma: float | None = None,
) -> TarFlow:
    """Read an official checkpoint, its architecture inferred from the shapes of its weights.

    Args:
        source: a .pth file named `{dataset}_model_{P}_{C}_{K}_{L}_{sigma}.pth`, or a state dict.
        patch_size: P; by default from the file's name, the one place that tells it.
        head_dim: 64 in every published model.
        sigma: training noise; by default from the file's name, else 0.

    Raises:
        UserError: the patch size is not known, the file is missing or unreadable, or does not fit.
    """
    where = "the state dict"
    if not isinstance(source, Mapping):
        path = Path(source)
        where, state = str(path), _read(path)
        if named := FILE_NAME.match(path.stem):
            patch_size = patch_size or int(named["patch"])
            sigma = float(named["sigma"]) if sigma is None else sigma
    else:
        state = dict(source)
    if patch_size is None:
        raise UserError(f"The patch size of {where} is not known; pass patch_size=P.")
    state = {name: value for name, value in state.items() if not name.endswith(".attn_mask")}
    try:
        flow = TarFlow(_infer(state, patch_size, head_dim, sigma or 0.0))
        flow.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{where} is no published TARFlow with patch size {patch_size}: {reason}") from None
    return flow.eval()


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"Published checkpoint {path} does not exist.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} cannot be read as a state dict ({str(error).splitlines()[0]}).") from error


def _infer(state: Mapping[str, Tensor], patch_size: int, head_dim: int, sigma: float) -> TarFlowSpec:
    """Read the architecture off the weights: T from pos_embed, D from proj_in, and so on."""
    n_tokens, width = state["blocks.0.pos_embed"].shape
    token_dim = state["blocks.0.proj_in.weight"].shape[1]
    class_embed = state.get("blocks.0.class_embed")
    side = math.isqrt(n_tokens)
    if side**2 != n_tokens or token_dim % patch_size**2:
        raise ValueError(f"{n_tokens} tokens of {token_dim} values are no square image")
    numbers = [re.match(r"blocks\.(\d+)\.attn_blocks\.(\d+)\.", name) for name in state]
    return TarFlowSpec(
        channels=token_dim // patch_size**2,
        image_size=side * patch_size,
        patch_size=patch_size,
        width=width,
        blocks=1 + max(int(n[1]) for n in numbers if n),
        layers_per_block=1 + max(int(n[2]) for n in numbers if n),
        head_dim=head_dim,
        n_classes=None if class_embed is None else len(class_embed),
        volume_preserving=state["blocks.0.proj_out.weight"].shape[0] == token_dim,
        sigma=sigma,
    )
