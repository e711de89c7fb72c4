"""Columns and the feature spaces that they judge in."""

import pytest

from nfbench.report.spaces import space_of


@pytest.mark.parametrize(
    ("column", "space"),
    [
        ("fd_effnet", "effnet"),
        ("kid_classifier", "classifier"),
        ("precision_dinov2", "dinov2"),
        ("fd_effnet_reconstruction", "effnet"),
        ("label_accuracy", "classifier"),
        ("nfe", ""),
    ],
)
def test_a_column_judges_in_its_features(column, space):
    assert space_of(column) == space
