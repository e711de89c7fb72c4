"""What BiFlow is compared with: TARFlow, its inverses that need no training, and FARMER's student of it.

Names are imported when they are first used, so that the package alone costs no import of torch.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Code": "baselines.tarflow.model",
    "FarmerStudent": "baselines.farmer",
    "TarFlow": "baselines.tarflow.model",
    "TarFlowSpec": "baselines.tarflow.model",
    "load_flow": "baselines.tarflow.checkpoint",
    "load_published": "baselines.tarflow.published_checkpoints",
    "load_student": "baselines.farmer",
    "make_sampler": "baselines.make",
    "published_name": "baselines.tarflow.published_checkpoints",
    "samplers": "baselines.make",
    "save_flow": "baselines.tarflow.checkpoint",
    "save_published": "baselines.tarflow.published_checkpoints",
    "save_student": "baselines.farmer",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'baselines' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
