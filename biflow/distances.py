"""What a prediction is off by, and how much each term of a loss weighs; see also biflow.perceptual."""

from torch import Tensor

ADAPTIVE_POWER = 1.0
ADAPTIVE_OFFSET = 0.01


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error of every value; the mean over an image's values is its MSE. (B, ...) to (B, ...)."""
    return (prediction - target).square()


def adaptively_weighted(
    errors: Tensor, power: float = ADAPTIVE_POWER, offset: float = ADAPTIVE_OFFSET
) -> Tensor:
    """Mean over images of sg((d + c0)^-p) d, with d the image's own distance and sg no gradient.

    The form is MeanFlow's (arXiv:2505.13447); p = 1 and c0 = 0.01 are those of a sibling paper by BiFlow's
    authors, whose own constants are not published. With p = 1 every image and term pulls about as hard
    until its distance is as small as c0. Here d is a mean over T D, as everywhere in BiFlow, so c0 is in
    units of the squared target; a perceptual distance is one number an image, in units of its own.

    Args:
        errors: (B, ...); an image's distance is the mean over all but the first dimension, so that a
            distance that is one number an image is (B,).
        power: p; 0 is the plain mean.
        offset: c0.
    """
    per_image = errors.reshape(len(errors), -1).mean(dim=1)
    return ((per_image.detach() + offset) ** -power * per_image).mean()
