"""The layout of a published TARFlow state dict: what it tells of the architecture, what in it does not fit.

What does not fit is raised as a ValueError: a clause without a full stop, to follow the file's name.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from baselines.tarflow.model import TarFlow, TarFlowSpec

MASK = re.compile(r"blocks\.\d+\.attn_mask$")  # a buffer that follows from T, so it is made anew
SHOWN = 3  # of many names, as many as a sentence can bear

# The weights that tell the architecture, each a matrix; C is the width.
TELLING = {
    "blocks.0.pos_embed": "(T, C)",
    "blocks.0.proj_in.weight": "(C, D)",
    "blocks.0.proj_out.weight": "(2D, C), or (D, C) if volume-preserving",
    "blocks.0.attn_blocks.0.attention.qkv.weight": "(3C, C)",
}


def few(names: Iterable[Any]) -> str:
    """Name the first few and count the rest."""
    names = [str(name) for name in names]
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def fp32_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a state dict in fp32 and without the attention masks.

    Raises:
        ValueError: it holds anything but tensors of floating-point numbers, as a file does that keeps the
            state dict beside an optimiser's.
    """
    odd = [
        f"{name} ({type(value).__name__})"
        for name, value in state.items()
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
    if odd:
        raise ValueError(
            f"of its {len(state)} entries these are no tensors: {few(odd)}; if one of them holds the weights,"
            " pass that entry with patch_size and sigma"
        )
    integers = [f"{name} ({value.dtype})" for name, value in state.items() if not value.is_floating_point()]
    if integers:
        raise ValueError(f"not all tensors hold floating-point numbers: {few(integers)}")
    return {name: value.float() for name, value in state.items() if not MASK.match(name)}


def infer_spec(state: Mapping[str, Tensor], patch_size: int, head_dim: int, sigma: float) -> TarFlowSpec:
    """Read the architecture off the weights: T from pos_embed, D from proj_in, and so on.

    Raises:
        ValueError: a weight that tells it is absent or no matrix, blocks disagree on being conditional, or
            the patch size or the head dim does not fit.
    """
    _require_telling(state)
    n_tokens, width = state["blocks.0.pos_embed"].shape
    token_dim = state["blocks.0.proj_in.weight"].shape[1]
    _require_sizes(n_tokens, token_dim, width, patch_size, head_dim)
    numbers = [re.match(r"blocks\.(\d+)\.attn_blocks\.(\d+)\.", name) for name in state]
    blocks = 1 + max(int(n[1]) for n in numbers if n)
    return TarFlowSpec(
        channels=token_dim // patch_size**2,
        image_size=math.isqrt(n_tokens) * patch_size,
        patch_size=patch_size,
        width=width,
        blocks=blocks,
        layers_per_block=1 + max(int(n[2]) for n in numbers if n),
        head_dim=head_dim,
        n_classes=_n_classes(state, blocks),
        volume_preserving=len(state["blocks.0.proj_out.weight"]) == token_dim,
        sigma=sigma,
    )


def _require_telling(state: Mapping[str, Tensor]) -> None:
    if absent := [name for name in TELLING if name not in state]:
        raise ValueError(
            f"{few(absent)} missing, which tell the architecture; it holds {few(state) or 'nothing'}"
        )
    for name, meaning in TELLING.items():
        shape = tuple(state[name].shape)
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"{name} has shape {shape} where {meaning} was expected")


def _require_sizes(n_tokens: int, token_dim: int, width: int, patch_size: int, head_dim: int) -> None:
    if math.isqrt(n_tokens) ** 2 != n_tokens:
        raise ValueError(f"T = {n_tokens} tokens (pos_embed) make no square image at any patch size")
    if patch_size < 1 or token_dim % patch_size**2:
        raise ValueError(
            f"patch size {patch_size} does not fit: D = {token_dim} values a token (proj_in) are no multiple"
            f" of {patch_size**2}"
        )
    if head_dim < 1 or width % head_dim:
        raise ValueError(
            f"head_dim {head_dim} does not divide the width {width}; pass the one it was trained with"
        )


def _n_classes(state: Mapping[str, Tensor], blocks: int) -> int | None:
    """Return the number of classes, None for an unconditional flow."""
    embeds = {b: state[name] for b in range(blocks) if (name := f"blocks.{b}.class_embed") in state}
    if not embeds:
        return None
    if without := [b for b in range(blocks) if b not in embeds]:
        raise ValueError(
            f"class_embed is missing in block {few(without)} but not in block {few(embeds)}; a flow is"
            " conditional in every block or in none"
        )
    return embeds[0].shape[0] if embeds[0].ndim else 1


def require_fit(state: Mapping[str, Tensor], spec: TarFlowSpec) -> None:
    """Compare names and shapes with those of a flow.

    Raises:
        ValueError: some are missing, unexpected or of another shape; it names the first few of each.
    """
    with torch.device("meta"):  # shapes alone: nothing is allocated
        expected = {name: tuple(value.shape) for name, value in TarFlow(spec).state_dict().items()}
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    reshaped = [
        f"{name} {tuple(value.shape)} where {expected[name]} was expected"
        for name, value in state.items()
        if expected.get(name, tuple(value.shape)) != tuple(value.shape)
    ]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    if any(faults.values()):
        raise ValueError("; ".join(f"{fault}: {few(names)}" for fault, names in faults.items() if names))
