"""The learned reverse as a sampler: one evaluation of the network an image, or two for guidance."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from biflow.checkpoint import load_reverse
from biflow.guidance import reverse_in_two_evaluations
from biflow.model import ReverseModel
from nfbench.errors import UserError
from nfbench.sample.sampler import Sampled


class OneStep:
    """Draws images with one evaluation of a reverse model.

    Options: `evaluations`, 2 to guide by two evaluations of any model, combined group by group, in place of
    one evaluation of a model that was trained with guidance. Without guidance one is enough either way.
    """

    def __init__(self, model: ReverseModel | str | Path, name: str = "biflow", evaluations: int = 1):
        if evaluations not in (1, 2):
            raise UserError(f"'evaluations' of {name} is {evaluations}; it must be 1 or 2.")
        self.evaluations = evaluations
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
        return {"evaluations": self.evaluations}

    def to(self, device: torch.device) -> "OneStep":
        self.model.to(device)
        return self

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor | None, guidance: float = 0.0) -> Sampled:
        """Evaluate the network; see `nfbench.sample.sampler.Sampler`. Images without a class go unguided.

        Raises:
            UserError: the scale of guidance is none that the model and the options allow.
        """
        self._check(y, guidance)
        w = torch.where(y < 0, 0.0, guidance).to(z) if guidance else None
        if guidance and self.evaluations == 2:
            tokens, nfe = self._counted(lambda: reverse_in_two_evaluations(self.model, z, y, w), len(z))
        else:
            tokens, nfe = self._counted(lambda: self.model(z, y, w), len(z))
        return Sampled(self.model.to_images(tokens), nfe=nfe)

    def _check(self, y: Tensor | None, guidance: float) -> None:
        """Refuse scales that the model was not trained for, and guidance towards no class."""
        largest = self.model.spec.guidance_max
        if guidance < 0:
            raise UserError(f"the scale of guidance is {guidance:g}; it must not be negative.")
        if guidance and (y is None or self.n_classes is None):
            raise UserError(f"{self.name} is guided towards classes, and there are none; set its scale to 0.")
        if self.evaluations == 2 or guidance <= largest:
            return
        trained = f"with guidance up to {largest:g}, not {guidance:g}" if largest else "without guidance"
        raise UserError(
            f"{self.name} was trained {trained}; set its scale to {largest:g}, or spend two evaluations on it"
            " with the option 'evaluations: 2'."
        )

    def _counted(self, call: Callable[[], Tensor], n_images: int) -> tuple[Tensor, float]:
        """Call, and count evaluations of the whole network an image: those of groups by their number."""
        groups, evaluated = self.model.groups_in_order(), 0

        def count(_: object, inputs: tuple[Tensor, ...], __: object) -> None:
            nonlocal evaluated
            evaluated += len(inputs[0])

        hooks = [group.register_forward_hook(count) for group in groups]
        try:
            result = call()
        finally:
            for hook in hooks:
                hook.remove()
        return result, evaluated / (len(groups) * n_images)
