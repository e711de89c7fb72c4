"""Optimisers and their schedule, chosen by the experiment's configuration."""

import math

import torch
from torch import nn
from torch.optim import Optimizer

from nfbench.config import TrainingConfig
from nfbench.errors import UserError
from nfbench.train.muon import BatchedMuon

MUON_MIN_SIDE = 32  # below it, orthogonalising a weight's update has been of no use


def build_optimisers(model: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    """Return the optimisers of a model; together they hold every trainable parameter once.

    "adamw" is AdamW with betas (0.9, 0.95), as TARFlow was published. "muon" gives the weights of the
    linear layers inside the network (both sides at least 32) to Muon and the rest to AdamW.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if config.optimizer == "adamw":
        return [_adamw(trainable, config)]
    if config.optimizer != "muon":
        raise UserError(f"optimizer is '{config.optimizer}'; it must be 'muon' or 'adamw'.")
    inner = [
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Linear)
        and module.weight.requires_grad
        and min(module.weight.shape) >= MUON_MIN_SIDE
    ]
    if not inner:
        raise UserError(
            f"The model has no linear layer with both sides at least {MUON_MIN_SIDE}, which Muon is for;"
            " set its optimizer to 'adamw', or its width higher."
        )
    chosen = {id(p) for p in inner}
    rest = [p for p in trainable if id(p) not in chosen]
    muon = BatchedMuon(
        inner,
        lr=config.muon_learning_rate,
        momentum=0.95,
        weight_decay=config.weight_decay,
    )
    return [muon, _adamw(rest, config)]


def _adamw(parameters: list[nn.Parameter], config: TrainingConfig) -> Optimizer:
    return torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=config.weight_decay,
        fused=not any(p.is_meta for p in parameters),  # one kernel in place of many; not on the meta device
    )


def learning_rate_factor(step: int, config: TrainingConfig) -> float:
    """Return the factor on every learning rate at a step 0, 1, ...: linear warm-up, then the decay.

    From `final_learning_rate_fraction` at step 0 up to 1 at step `warmup_steps`, and down again to that
    fraction at step `steps`, the first that is not made. With the cosine it is that of the published TARFlow
    code, which would rise again after the last step; this one stays.
    """
    floor = config.final_learning_rate_fraction
    if step < config.warmup_steps:
        return floor + (1 - floor) * step / config.warmup_steps
    span = max(1, config.steps - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / span)
    fallen = progress if config.decay == "linear" else 0.5 * (1 - math.cos(math.pi * progress))
    return floor + (1 - floor) * (1 - fallen)
