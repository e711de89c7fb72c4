"""Checkpoints of the published TARFlow code: a raw fp32 state dict with the names of our own modules."""

import math
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from baselines.tarflow.model import TarFlow, TarFlowSpec
from nfbench.errors import UserError
from nfbench.files import atomic_path

FILE_NAME = re.compile(
    r"(?P<dataset>.+)_model_(?P<patch>\d+)_(?P<width>\d+)_(?P<blocks>\d+)_(?P<layers>\d+)_(?P<sigma>\d+\.\d+)$"
)
SUFFIXES = (".pth", ".safetensors")
HEAD_DIM = 64  # of every published model; a state dict does not hold it
MASK = re.compile(r"blocks\.\d+\.attn_mask$")  # a buffer that follows from T, so it is made anew
SHOWN = 3  # of many names, as many as a sentence can bear

# The weights that give the architecture, each a matrix; C is the width.
SHAPES = {
    "blocks.0.pos_embed": "(T, C)",
    "blocks.0.proj_in.weight": "(C, D)",
    "blocks.0.proj_out.weight": "(2D, C), or (D, C) if volume-preserving",
    "blocks.0.attn_blocks.0.attention.qkv.weight": "(3C, C)",
}


def published_name(dataset: str, spec: TarFlowSpec) -> str:
    """Return `{dataset}_model_{P}_{C}_{K}_{L}_{sigma:.2f}.pth`, which gives patch size and training noise.

    Raises:
        UserError: sigma has more decimals than the name.
    """
    sigma = f"{spec.sigma:.2f}"
    if not math.isclose(float(sigma), spec.sigma, rel_tol=0, abs_tol=1e-9):
        raise UserError(
            f"A published file name has two decimals for sigma and cannot say {spec.sigma}; name the file"
            " otherwise, and pass patch_size and sigma to load_published."
        )
    sizes = (spec.patch_size, spec.width, spec.blocks, spec.layers_per_block)
    return f"{dataset}_model_{'_'.join(map(str, sizes))}_{sigma}.pth"


def load_published(
    source: str | Path | Mapping[str, Tensor],
    patch_size: int | None = None,
    head_dim: int = HEAD_DIM,
    sigma: float | None = None,
) -> TarFlow:
    """Read an official checkpoint, its architecture inferred from the shapes of its weights.

    Weights of any floating-point type become fp32. A published state dict always holds `var`, the prior's
    variance. Where it is missing it is taken as ones unless the flow preserves volume, since the published
    code never changes it then; a volume-preserving flow learns it and is refused without.

    Args:
        source: a .pth or .safetensors file named as `published_name` does, or a state dict.
        patch_size: P; by default from the file's name, which alone has it.
        head_dim: 64 in every published model.
        sigma: training noise; by default from the file's name, else 0.

    Raises:
        UserError: the patch size is not known, the file is missing or unreadable, or does not fit.
    """
    where, state = "the state dict", source
    if not isinstance(source, Mapping):
        path = Path(source)
        where, state = str(path), _read(path)
        if named := FILE_NAME.match(path.stem):
            patch_size = int(named["patch"]) if patch_size is None else patch_size
            sigma = float(named["sigma"]) if sigma is None else sigma
    if patch_size is None:
        raise UserError(f"The patch size of {where} is not known; pass patch_size=P.")
    try:
        state = fp32_weights(state)
        spec = infer_spec(state, patch_size, head_dim, sigma or 0.0)
        if not spec.volume_preserving:
            state.setdefault("var", torch.ones(spec.n_tokens, spec.token_dim))
        require_fit(state, spec)
    except ValueError as error:
        raise UserError(f"{where} is no published TARFlow: {error}.") from None
    flow = TarFlow(spec)
    flow.load_state_dict(state)
    return flow.eval()


def save_published(path: str | Path, flow: TarFlow) -> None:
    """Write a flow's weights as the published code does, in fp32; that code loads them strictly.

    Patch size and training noise are not among them: name the file by `published_name`, or pass both to
    `load_published`.

    Args:
        path: ends in .pth or .safetensors, which chooses the format.

    Raises:
        UserError: the suffix is another, the flow clips or has heads not 64 wide, or the file's name is in
            the published pattern and names another flow.
    """
    path = Path(path)
    _refuse_unsayable(path, flow.spec)
    state = {
        name: value.detach().to("cpu", torch.float32, copy=True).contiguous()
        for name, value in flow.state_dict().items()
    }
    for block in range(flow.spec.blocks):
        state[f"blocks.{block}.attn_mask"] = torch.ones(flow.spec.n_tokens, flow.spec.n_tokens).tril()
    with atomic_path(path) as temporary:
        (save_file if path.suffix == ".safetensors" else torch.save)(state, temporary)


def _refuse_unsayable(path: Path, spec: TarFlowSpec) -> None:
    """Refuse what the published format cannot hold, and a file name of another flow."""
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"{path} names no format for a published checkpoint; end it in {' or '.join(SUFFIXES)}."
        )
    if spec.clip is not None:
        raise UserError(
            f"The flow clips at {spec.clip}, which the published code does not; use save_flow, or train with"
            " clip null."
        )
    if spec.head_dim != HEAD_DIM:
        raise UserError(
            f"The flow's heads are {spec.head_dim} wide, in the published code always {HEAD_DIM}; use"
            f" save_flow, or train with head_dim {HEAD_DIM}."
        )
    if named := FILE_NAME.match(path.stem):
        name = Path(published_name(named["dataset"], spec)).stem
        if name != path.stem:
            raise UserError(f"The file name {path.name} tells of another flow; name it {name}{path.suffix}.")


def _read(path: Path) -> Mapping[str, Any]:
    """Read a file's tensors onto the CPU, running no code that it may hold."""
    if not path.is_file():
        raise UserError(f"Published checkpoint {path} does not exist.")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises all kinds on bytes that it did not write
        if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(path):
            reason = "it holds Python objects beside tensors; save the model's state dict alone"
        else:
            reason = "it is truncated or of another format; fetch it again"
        raise UserError(f"{path} cannot be read as a state dict: {reason}.") from error
    if not isinstance(state, Mapping):
        raise UserError(f"{path} holds a {type(state).__name__}, no state dict; save the state dict alone.")
    return state


# What follows raises a ValueError for what does not fit: a clause without a full stop, to follow a file name.


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
        ValueError: a weight that gives it is absent or no matrix, blocks disagree on being conditional, or
            the patch size or the head dim does not fit.
    """
    _require_shapes(state)
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


def _require_shapes(state: Mapping[str, Tensor]) -> None:
    if absent := [name for name in SHAPES if name not in state]:
        raise ValueError(
            f"{few(absent)} missing, which tell the architecture; it holds {few(state) or 'nothing'}"
        )
    for name, meaning in SHAPES.items():
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
