"""Checkpoints of the published TARFlow code: a raw fp32 state dict in the layout of our own modules."""

import math
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from baselines.tarflow.layout import fp32_weights, infer_spec, require_fit
from baselines.tarflow.model import TarFlow, TarFlowSpec
from nfbench.errors import UserError
from nfbench.files import atomic_path

FILE_NAME = re.compile(
    r"(?P<dataset>.+)_model_(?P<patch>\d+)_(?P<width>\d+)_(?P<blocks>\d+)_(?P<layers>\d+)_(?P<sigma>\d+\.\d+)$"
)
SUFFIXES = (".pth", ".safetensors")
HEAD_DIM = 64  # of every published model; a state dict does not tell it


def published_name(dataset: str, spec: TarFlowSpec) -> str:
    """Return `{dataset}_model_{P}_{C}_{K}_{L}_{sigma:.2f}.pth`, which tells patch size and training noise.

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
    code never changes it then; a volume-preserving flow has learnt it and is refused without.

    Args:
        source: a .pth or .safetensors file named as `published_name` does, or a state dict.
        patch_size: P; by default from the file's name, the one place that tells it.
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
            the published pattern and tells of another flow.
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
    """Refuse what the published format has no word for, and a file name that says something else."""
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
