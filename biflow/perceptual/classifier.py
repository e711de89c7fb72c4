"""Distance in the activations of the data set's own classifier: cheap, and at home in the domain."""

from pathlib import Path

from torch import nn

from biflow.perceptual.features import FeatureDistance, Inputs, Tapped
from nfbench.errors import UserError
from nfbench.measure.classifier import DomainClassifier, load_classifier


def classifier_distance(classifier: DomainClassifier) -> FeatureDistance:
    """Compare the activations after every layer of the trunk, the 64 features that are measured among them.

    The classifier is put in evaluation mode and frozen. Images must have its channels and size.
    """
    trunk = classifier.trunk
    taps = [index for index, layer in enumerate(trunk) if isinstance(layer, nn.ReLU)]
    channels = classifier.spec.channels
    return FeatureDistance(Tapped(trunk, taps), Inputs([0.0] * channels, [1.0] * channels))


def load(classifier: Path | None) -> FeatureDistance:
    """Build the distance from the classifier's file.

    Raises:
        UserError: no file is given, or it is missing or corrupt.
    """
    if classifier is None:
        raise UserError("The distance 'classifier' needs the classifier's file; give its path.")
    return classifier_distance(load_classifier(classifier))
