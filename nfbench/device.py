"""Choosing the device and the arithmetic, from the same words on any machine."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from nfbench.errors import UserError


def resolve_device(wanted: str) -> torch.device:
    """Turn "auto", "cpu" or "cuda" into a device; "auto" takes the GPU where there is one.

    Raises:
        UserError: "cuda" on a machine without a usable GPU.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device is 'cuda' but torch finds no GPU; set device to 'auto' or 'cpu'.")
    return torch.device(wanted)


def resolve_precision(wanted: str, device: torch.device) -> str:
    """Turn "auto" into "bf16" on a GPU and "fp32" on a CPU, where bf16 is slower."""
    if wanted == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return wanted


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return the autocast context of a precision."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def in_full_precision(module: nn.Module, x: Tensor) -> Tensor:
    """Evaluate a module on what `x` is, in the precision of its weights, also inside `autocast`.

    For the few narrow maps whose rounding would be seen in the result: what tokens are embedded from, and
    what log-scales, shifts and images are read off.
    """
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):  # tensors without values have no autocast
        return module(x)
    with torch.autocast(x.device.type, enabled=False):
        return module(x.to(next(module.parameters()).dtype))


@contextmanager
def fast_float32(device: torch.device) -> Iterator[None]:
    """Let a GPU take products of float32 in TF32: 10 bits of mantissa, where bfloat16 has 7 and float32 23.

    For what must be better than bfloat16 and is too much for float32 proper, some ten times slower.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
