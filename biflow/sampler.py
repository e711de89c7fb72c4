"""The learned reverse as a sampler: one network evaluation per image, or two for guidance."""

import copy
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from baselines.tarflow.cost import CountedEvaluation
from biflow.guidance import reverse_in_two_evaluations
from biflow.model import ReverseModel, load_reverse
from biflow.sizes import pass_flops
from nfbench.errors import UserError
from nfbench.runtime import autocast, checked_precision, in_precision
from nfbench.sample.sampler import Sampled


def network_for_sampling(model: ReverseModel, precision: str, compile: bool) -> ReverseModel:
    """Return the model itself, or a faster copy of it.

    For bf16, the linear maps of the layers are cast once; embeddings, norms and heads stay in float32, as
    under `nfbench.runtime.autocast` in training. Only the layers are compiled, which are all alike.
    """
    network = in_precision(model, precision, _layers)
    if compile:
        network = copy.deepcopy(model) if network is model else network
        for layer in _layers(network):
            layer.compile(dynamic=False)
    return network


def _layers(model: ReverseModel) -> list[nn.Module]:
    return [layer for stage in model.stages_in_order() for layer in stage.layers]


def tokens(
    network: ReverseModel,
    evaluations: int,
    precision: str,
    z: Tensor,
    y: Tensor | None = None,
    w: Tensor | None = None,
) -> Tensor:
    """Evaluate a network for sampling on z, y and w; return the images' tokens, (B, T, D)."""
    with autocast(z.device, precision):
        if w is not None and evaluations == 2:
            return reverse_in_two_evaluations(network, z, y, w)
        return network(z, y, w)


class OneStep:
    """Draws images with one evaluation of a reverse model.

    On a GPU the evaluation is captured as a CUDA graph, one per batch size, and replayed.

    Options:
        evaluations: 1 guides a model that was trained with guidance; 2 guides any model, by combining two
            evaluations of every stage. Without guidance there is always one.
        precision: "fp32", or "bf16" for matrix products in bfloat16.
        compile: whether the layers are compiled by torch.compile; its warm-up takes about a minute.
        graph: whether a GPU replays a CUDA graph.
    """

    def __init__(
        self,
        model: ReverseModel | str | Path,
        *,
        name: str = "biflow",
        evaluations: int = 1,
        precision: str = "fp32",
        compile: bool = False,
        graph: bool = True,
    ):
        if evaluations not in (1, 2):
            raise UserError(f"'evaluations' of {name} is {evaluations}; it must be 1 or 2.")
        self.precision = checked_precision(precision, name)
        self.evaluations, self.compile = evaluations, compile
        self.model = load_reverse(model) if isinstance(model, str | Path) else model
        self.name = name
        self._network = network_for_sampling(self.model, precision, compile)
        evaluate = partial(tokens, self._network, evaluations, precision)
        self._evaluate = CountedEvaluation(evaluate, self._network.stages_in_order(), graph)

    @property
    def output(self) -> Literal["clean", "noisy"]:
        """Whether the images carry the flow's training noise."""
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

    def flops_per_image(self, guidance: float = 0.0) -> int:
        """Return the FLOPs of one image, which follow from the architecture."""
        passes = 2 if guidance and self.evaluations == 2 else 1
        return passes * pass_flops(self.model.spec)

    @property
    def settings(self) -> dict[str, Any]:
        faster = {"precision": self.precision, "compile": self.compile}
        usual = {"precision": "fp32", "compile": False}
        return {"evaluations": self.evaluations} | (faster if faster != usual else {})

    def to(self, device: torch.device) -> "OneStep":
        self._evaluate.clear()
        self._network.to(device)
        return self

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor | None, guidance: float = 0.0) -> Sampled:
        """Evaluate the network; see `nfbench.sample.sampler.Sampler`. Images without a class go unguided.

        Raises:
            UserError: model and options do not allow this guidance scale.
        """
        self._check(y, guidance)
        w = torch.where(y < 0, 0.0, guidance).to(z) if guidance else None
        given = [tensor for tensor in (z, y, w) if tensor is not None]
        found, nfe, _ = self._evaluate(*given)
        return Sampled(self.model.to_images(found), nfe=nfe)

    def _check(self, y: Tensor | None, guidance: float) -> None:
        """Raise an error for scales that the model was not trained for, and for guidance without classes."""
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
