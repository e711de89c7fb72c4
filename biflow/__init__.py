"""BiFlow, the learned reverse of a frozen flow (arXiv:2512.10953).

Names are imported when they are first used, so that the package alone costs no import of torch.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "OneStep": "biflow.sampler",
    "ReverseModel": "biflow.model",
    "ReverseSpec": "biflow.model",
    "load_reverse": "biflow.model",
    "save_reverse": "biflow.model",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'biflow' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
