"""A training of the workflow: its unfinished state, and what it is told by."""

from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from nfbench.config import TrainingConfig
from nfbench.data.datasets import Dataset
from nfbench.errors import UserError
from nfbench.train import loop
from nfbench.train.resumable import Place, training

STEPS = 50
DATA = Dataset("toy", np.zeros((16, 1, 2, 2), dtype=np.uint8), np.zeros(16, dtype=np.int64), ("a",))


def train(output, *, width=1, seed=0, disk_full=False):
    """Train a single number; return how many steps that took, and what was reported."""
    calls, reported = [], []

    def loss(model, images, labels, generator):
        calls.append(1)
        return model.weight.square().sum()

    with training(
        nn.Linear(1, 1),
        loss,
        DATA,
        TrainingConfig(steps=STEPS, batch_size=4, optimizer="adamw", learning_rate=1e-3),
        place=Place(torch.device("cpu"), "fp32"),
        seed=seed,
        output=output,
        told_by={"width": width},
        report=reported.append,
    ):
        if disk_full:
            raise OSError("disk full")
        output.write_text("weights")
    return len(calls), reported


@pytest.fixture
def unwritten(tmp_path, monkeypatch):
    """The output of a training that came to its end and could not be written."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)  # at every check of the loss
    output = tmp_path / "model.safetensors"
    with suppress(OSError):
        train(output, disk_full=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.resume.pt"]
    return output


def test_a_finished_training_leaves_its_output_alone(tmp_path):
    output = tmp_path / "model.safetensors"
    assert train(output)[0] == STEPS
    assert list(tmp_path.iterdir()) == [output]


def test_what_could_not_be_written_is_written_without_training_anew(unwritten):
    steps, reported = train(unwritten)
    assert (steps, list(unwritten.parent.iterdir())) == (0, [unwritten])
    assert f"going on from step {STEPS}" in reported


@pytest.mark.parametrize("other", [{"width": 2}, {"seed": 1}])
def test_the_state_of_another_training_is_not_gone_on_from(unwritten, other):
    steps, reported = train(unwritten, **other)
    assert steps == STEPS
    assert any("other settings" in line for line in reported)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_absent_device_is_refused():
    with pytest.raises(UserError, match="cuda"):
        Place.chosen("cuda", "auto")
