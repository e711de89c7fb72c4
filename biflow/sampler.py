"""The learned reverse as a sampler: one evaluation of the network an image."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from biflow.checkpoint import load_reverse
from biflow.model import ReverseModel
from nfbench.errors import UserError
from nfbench.sample.sampler import Sampled


class OneStep:
    """Draws images with one evaluation of a reverse model."""

    def __init__(self, model: ReverseModel | str | Path, name: str = "biflow"):
        self.model = load_reverse(model)[0] if isinstance(model, str | Path) else model
        self.name = name

    @property
    def output(self) -> Literal["clean", "noisy"]:
        """Whether the images carry the flow's training noise; `nfbench.sample.sampler.Entry` says so too."""
        return self.model.spec.output

    @property
    def latent_shape(self) -> tuple[int, int]:
        return self.model.spec.n_tokens, self.model.spec.token_dim

    @property
    def n_classes(self) -> int | None:
        return self.model.spec.n_classes

    @property
    def n_parameters(self) -> int:
        return self.model.n_sampling_parameters()

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    def to(self, device: torch.device) -> "OneStep":
        self.model.to(device)
        return self

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor | None, guidance: float = 0.0) -> Sampled:
        """Evaluate the network once; see `nfbench.sample.sampler.Sampler`.

        Raises:
            UserError: guidance is asked of a model that was trained without it.
        """
        if guidance:
            raise UserError(f"{self.name} was trained without guidance; set its scale to 0.")
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        hook = self.model.register_forward_hook(count)
        try:
            images = self.model.to_images(self.model(z, y))
        finally:
            hook.remove()
        return Sampled(images, nfe=calls)
