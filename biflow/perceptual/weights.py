"""Files of weights that distances need; see `nfbench.weights`."""

from pathlib import Path

from nfbench import weights
from nfbench.weights import checkpoint_folder, read_weights

__all__ = ["checkpoint_folder", "find_weights", "read_weights"]


def find_weights(url: str, distance: str) -> Path:
    """Return the file of that name in torch's folder.

    Args:
        url: where its project releases it; the last part is the file's name.
        distance: what needs it, for the message.

    Raises:
        UserError: it is not there.
    """
    return weights.find_weights(url, f"The distance '{distance}'")
