"""Pretrained feature networks whose files the user brings: Inception-v3 and DINOv2.

Both are torch-fidelity's own extractors, with its resizing. It would download missing files; here they are
looked for in torch's folder first, and nothing is downloaded.
"""

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

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


INCEPTION_LAYER = "2048"
INCEPTION_LOGITS = "logits_unbiased"  # of the Inception score

DINO_LAYER = "dinov2"
DINO_MODEL = "dinov2_vitl14"  # the size that arXiv:2306.04675 measures with, 1024 features
DINO_URL = f"https://dl.fbaipublicfiles.com/dinov2/{DINO_MODEL}/{DINO_MODEL}_pretrain.pth"
DINO_CODE_URL = "https://github.com/facebookresearch/dinov2"
DINO_CODE_FOLDER = "facebookresearch_dinov2_main"


def inception_weights() -> Path:
    """Return the file of Inception-v3's weights, converted from the original ones by torch-fidelity."""
    return find_weights(URL_INCEPTION_V3, "The feature space 'inception'")


def dino_weights() -> Path:
    """Return the file of DINOv2's weights."""
    return find_weights(DINO_URL, "The feature space 'dinov2'")


def dino_code() -> Path:
    """Return the folder with DINOv2's code.

    Raises:
        UserError: it is missing.
    """
    folder = Path(torch.hub.get_dir()) / DINO_CODE_FOLDER
    if not (folder / "hubconf.py").is_file():
        raise UserError(
            f"The feature space 'dinov2' needs the code in {folder}; clone {DINO_CODE_URL} to that folder."
        )
    return folder


class InceptionExtractor(FeatureExtractorInceptionV3):
    """Inception-v3 as FID is defined on: 2048 features, and the logits of the Inception score.

    Args:
        name: the registered name.
        features_list: of its layers.
        options: other keywords of torch-fidelity; not used.

    Raises:
        UserError: the weights are missing or of another network.
    """

    def __init__(self, name: str, features_list: list[str], **options: Any) -> None:
        path = inception_weights()
        read_weights(path)  # torch-fidelity unpickles whatever the file holds
        try:
            super().__init__(name, features_list, feature_extractor_weights_path=str(path))
        except RuntimeError as error:
            raise _other_weights(path, error) from None


class DinoExtractor(FeatureExtractorDinoV2):
    """DINOv2 ViT-L/14: the class token's 1024 features (arXiv:2304.07193).

    The network comes from the project's own code in torch's folder and is given the weights here, so that
    torch.hub downloads nothing. Arguments and errors of `InceptionExtractor`.
    """

    def __init__(self, name: str, features_list: list[str], **options: Any) -> None:
        FeatureExtractorBase.__init__(self, name, features_list)
        self.feature_extractor_internal_dtype = torch.float32
        folder, path = dino_code(), dino_weights()
        os.environ.setdefault("XFORMERS_DISABLED", "1")  # it needs a GPU; torch-fidelity does the same
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="xFormers is")
            self.model = torch.hub.load(str(folder), DINO_MODEL, source="local", pretrained=False)
        try:
            self.model.load_state_dict(read_weights(path))
        except RuntimeError as error:
            raise _other_weights(path, error) from None


def _other_weights(path: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(f"{path} holds other weights ({reason}); delete it and download it again.")
