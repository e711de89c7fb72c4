"""Editing of test images: the same tasks and noise for every sampler, and their scores.

Masks, target classes and noise depend on the image's index in the test set only; the noise that replaces
pixels and tokens depends on the seed too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from baselines.tarflow.model import TarFlow, TarFlowSpec
from biflow.editing import InpaintingNoise, edit_class, inpaint, paste
from nfbench.data.datasets import Dataset, balanced_indices
from nfbench.data.noise import latent_noise, uniform_noise
from nfbench.data.pixels import to_float
from nfbench.data.tokens import centre_square, half_of_tokens, right_half
from nfbench.errors import UserError
from nfbench.files import finite_or_none
from nfbench.measure.editing import (
    Scores,
    class_editing_scores,
    inpainting_scores,
    largest_change,
    masked_mse,
    shares,
)
from nfbench.measure.inversion import mse_per_image
from nfbench.measure.quality.classifier import DomainClassifier
from nfbench.sample.sample_set import batches
from nfbench.sample.sampler import Sampler

BATCH_SIZE = 250  # changes no image
MASKS = ("centre", "right-half", "random-tokens")


@dataclass(frozen=True)
class Edits:
    """Images to edit, their target classes, and all noise, on the CPU.

    Attributes:
        images: in [-1, 1], float32, (n, c, H, W).
        labels: their classes, (n,).
        targets: classes to change them to, never their own, (n,): y + 1 + i mod (n_classes - 1), mod
            n_classes, with i the index in the test set.
        tokens: uniform numbers that choose the hidden tokens of the mask "random-tokens", (n, T).
        training, hidden, redrawn: see `biflow.editing.InpaintingNoise`.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor
    tokens: Tensor
    training: Tensor
    hidden: Tensor
    redrawn: Tensor

    def mask(self, name: str, patch_size: int) -> Tensor:
        """Return the hidden pixels of a mask of `MASKS`, bool, (n, 1, H, W)."""
        if name == "random-tokens":
            return half_of_tokens(self.tokens, patch_size)
        one = {"centre": centre_square, "right-half": right_half}[name](self.images.shape[-1])
        return one.expand(len(self.images), 1, -1, -1)

    def in_batches(self, edit: Callable[["Edits"], Tensor], device: torch.device) -> Tensor:
        """Apply a function batch by batch on a device and return its results on the CPU."""
        parts = []
        for rows in batches(len(self.images), BATCH_SIZE):
            part = {f.name: getattr(self, f.name)[rows.start : rows.stop].to(device) for f in fields(self)}
            parts.append(edit(Edits(**part)).cpu())
        return torch.cat(parts)


def choose(test: Dataset, n: int) -> np.ndarray:
    """Return the indices of n class-balanced test images.

    Raises:
        UserError: there are fewer images.
    """
    if n > len(test):
        raise UserError(f"'editing.n_images' is {n}, but there are {len(test)} test images; ask for fewer.")
    return balanced_indices(test.labels, n, seed=0)


def held_out_edits(test: Dataset, indices: Sequence[int], spec: TarFlowSpec, seed: int) -> Edits:
    """Return the editing tasks of some test images.

    Args:
        indices: in the test set.
        spec: of the flow.
        seed: of the noise that replaces hidden pixels and tokens. The training noise is that of
            `biflow.training.held_out_path`, and like the masks the same for all seeds.
    """
    chosen = test.subset(indices)
    images, labels = to_float(chosen.images), torch.from_numpy(chosen.labels)
    n_classes, shape = len(test.classes), images.shape[1:]
    shifts = 1 + torch.as_tensor(np.asarray(indices)) % (n_classes - 1)
    return Edits(
        images=images,
        labels=labels,
        targets=(labels + shifts) % n_classes,
        tokens=uniform_noise(0, indices, (spec.n_tokens,), stream="hidden-tokens"),
        training=latent_noise(0, indices, shape, stream="forward-noise").float(),
        hidden=latent_noise(seed, indices, shape, stream="hidden-pixels").float(),
        redrawn=latent_noise(seed, indices, (spec.n_tokens, spec.token_dim)).float(),
    )


def inpainted(edits: Edits, mask: str, flow: TarFlow, sampler: Sampler, others: bool = False) -> Tensor:
    """Inpaint all images; with `others`, every hidden pixel is negated first, which should change nothing."""

    def edit(part: Edits) -> Tensor:
        hidden = part.mask(mask, flow.spec.patch_size)
        images = torch.where(hidden, -part.images, part.images) if others else part.images
        noise = InpaintingNoise(part.training, part.hidden, part.redrawn)
        return inpaint(flow, sampler, images, hidden, part.labels, noise)

    return edits.in_batches(edit, flow.var.device)


def edited(edits: Edits, flow: TarFlow, sampler: Sampler, to: int | None = None) -> Tensor:
    """Change all images to their target classes, or to class `to`."""

    def edit(part: Edits) -> Tensor:
        y_to = part.targets if to is None else torch.full_like(part.labels, to)
        return edit_class(flow, sampler, part.images, part.labels, y_to, part.training)

    return edits.in_batches(edit, flow.var.device)


def measure_inpainting(
    edits: Edits, mask: str, flow: TarFlow, sampler: Sampler, classifier: DomainClassifier
) -> Scores:
    """Return the scores of a sampler with a mask; `leak` is the largest change caused by hidden pixels."""
    raw = inpainted(edits, mask, flow, sampler)
    hidden = edits.mask(mask, flow.spec.patch_size)
    leak = largest_change(inpainted(edits, mask, flow, sampler, others=True), raw)
    pasted = paste(edits.images, raw, hidden)
    scores = inpainting_scores(classifier, edits.images, edits.labels, hidden, raw, pasted)
    return scores | {"leak": finite_or_none(leak)}


def measure_class_editing(
    edits: Edits, flow: TarFlow, sampler: Sampler, classifier: DomainClassifier
) -> Scores:
    """Return the scores of a sampler in class editing."""
    result = edited(edits, flow, sampler)
    return class_editing_scores(classifier, edits.images, edits.labels, edits.targets, result)


def references(edits: Edits, flow: TarFlow, classifier: DomainClassifier) -> dict[str | None, Scores]:
    """Return reference values of the scores by mask, with None for class editing.

    `label_accuracy_real` is the classifier's accuracy on the original images; `*_other` are the errors of
    another of the images, at random, instead of the edited one.
    """
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(edits.images))
    others = torch.empty_like(edits.images)
    others[order] = edits.images[np.roll(order, 1)]
    real = shares(classifier, edits.images, {"label_accuracy_real": edits.labels})
    found = {None: real | {"kept_mse_other": mse_per_image(others, edits.images).mean().item()}}
    for name in MASKS:
        hidden = edits.mask(name, flow.spec.patch_size)
        found[name] = real | {
            "kept_mse_other": masked_mse(others, edits.images, ~hidden).mean().item(),
            "hidden_mse_other": masked_mse(others, edits.images, hidden).mean().item(),
        }
    return found
