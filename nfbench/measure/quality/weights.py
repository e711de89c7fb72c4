"""Files of pretrained weights that the user puts into torch's folder; nothing is downloaded."""

import pickle
from pathlib import Path
from typing import Any

import torch

from nfbench.errors import UserError


def checkpoint_folder() -> Path:
    """Return where torch keeps weights, $TORCH_HOME/hub/checkpoints."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def find_weights(url: str, needed_by: str) -> Path:
    """Return the file of that name in torch's folder.

    Args:
        url: where its project releases it; the last part is the file's name.
        needed_by: the subject of the message, e.g. "The distance 'lpips-vgg'".

    Raises:
        UserError: it is not there.
    """
    path = checkpoint_folder() / url.rsplit("/", 1)[1]
    if not path.is_file():
        raise UserError(f"{needed_by} needs {path}; download it from {url} and put it there.")
    return path


def read_weights(path: Path) -> dict[str, Any]:
    """Read what `torch.save` wrote, tensors only.

    Raises:
        UserError: the file is corrupt or holds something else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it ends too early"
        raise UserError(f"{path} is corrupt ({reason}); delete it and download it again.") from None
