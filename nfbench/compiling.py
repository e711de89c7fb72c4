"""Compiling networks with torch.compile, where there is a GPU and the warm-up is worth its while."""

import torch
from torch import nn

from nfbench.errors import UserError

WORDS = ("auto", "never")
# Compiling takes up to about a minute. A training's step takes some ten milliseconds or more on a GPU, of
# which fused kernels save a part: below this many steps less is saved than spent.
TRAINING_STEPS_THAT_PAY = 5000


def compiling_pays(wanted: str, device: torch.device, steps: int) -> bool:
    """Tell whether to compile a network for a training of so many steps; on a CPU never.

    Raises:
        UserError: `wanted` is neither "auto" nor "never".
    """
    if wanted not in WORDS:
        raise UserError(f"compile is '{wanted}'; it must be 'auto' or 'never'.")
    return wanted == "auto" and device.type == "cuda" and steps >= TRAINING_STEPS_THAT_PAY


def compile_repeated(model: nn.Module, backend: str = "inductor") -> int:
    """Compile in place the parts that a network consists of most, its blocks or groups; return their number.

    They are the modules of the same class as those of the largest `nn.ModuleList` among the network's
    children. As they are alike, the compiler works once for all of them, whatever the depth. Weights keep
    their names, and what is called on the network itself (`encode`, `reverse`, ...) uses the compiled parts.

    Raises:
        ValueError: the network repeats nothing.
    """
    lists = [child for child in model.children() if isinstance(child, nn.ModuleList) and len(child)]
    if not lists:
        raise ValueError(f"{type(model).__name__} has no list of modules to compile")
    largest = max(lists, key=lambda parts: sum(p.numel() for p in parts.parameters()))
    alike = [module for module in model.modules() if type(module) is type(largest[0])]
    for module in alike:
        module.compile(backend=backend, dynamic=False)
    return len(alike)
