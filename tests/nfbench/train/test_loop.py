"""The training loop: schedule, optimisers, average, resume and the guard against divergence."""

import dataclasses
import math
import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

from nfbench.config import TrainingConfig
from nfbench.data.datasets import Dataset
from nfbench.errors import UserError
from nfbench.train.batches import ResidentBatches
from nfbench.train.loop import CHECK_EVERY, Phases, Trainer
from nfbench.train.optimisers import build_optimisers, learning_rate_factor

CPU = torch.device("cpu")
CONFIG = TrainingConfig(
    steps=3 * CHECK_EVERY,
    batch_size=8,
    optimizer="muon",
    learning_rate=1e-2,
    warmup_steps=5,
    ema=0.9,
    evaluate_every=CHECK_EVERY,
)


def toy_data(n=40):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 1, 6, 6), dtype=np.uint8)
    return Dataset("toy", images, np.arange(n, dtype=np.int64) % 2, ("a", "b"))


def toy_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 40), nn.GELU(), nn.Linear(40, 36))


def toy_loss(model, images, labels, generator):
    x = images.float() / 255
    noise = torch.randn(x.shape, generator=generator)
    return (model(x + 0.1 * noise) - x.flatten(1)).square().mean()


def trainer(config=CONFIG, loss=toy_loss, **options):
    batches = ResidentBatches(toy_data(), config.batch_size, 0, CPU)
    return Trainer(toy_model(), loss, batches, config, seed=0, device=CPU, **options)


def test_every_epoch_shows_every_image_once_in_another_order():
    batches = ResidentBatches(toy_data(), 8, seed=0, device=CPU)
    epochs = [torch.cat([batches.at(e * 5 + s)[0] for s in range(5)]).flatten(1).sum(1) for e in range(2)]
    assert not torch.equal(*epochs)
    assert torch.equal(*(epoch.sort().values for epoch in epochs))


def test_a_step_s_batch_depends_on_seed_and_step_alone():
    one, other = (ResidentBatches(toy_data(), 8, seed=1, device=CPU) for _ in range(2))
    one.at(3)
    assert torch.equal(one.at(7)[0], other.at(7)[0])
    assert not torch.equal(one.at(7)[0], ResidentBatches(toy_data(), 8, seed=2, device=CPU).at(7)[0])


def test_learning_rate_warms_up_and_falls_to_its_floor():
    config = dataclasses.replace(CONFIG, steps=105, warmup_steps=5, final_learning_rate_fraction=0.1)
    factors = [learning_rate_factor(step, config) for step in range(106)]
    assert factors[:6] == pytest.approx([0.1, 0.28, 0.46, 0.64, 0.82, 1.0])
    assert factors[55] == pytest.approx(0.1 + 0.9 * 0.5)
    assert factors[105] == pytest.approx(0.1)
    assert all(a >= b for a, b in zip(factors[5:], factors[6:], strict=False))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_optimisers_share_out_every_parameter_once(optimizer):
    model = toy_model()
    optimisers = build_optimisers(model, dataclasses.replace(CONFIG, optimizer=optimizer))
    held = [id(p) for o in optimisers for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    if optimizer == "muon":
        assert [p.shape for p in optimisers[0].param_groups[0]["params"]] == [(40, 36), (36, 40)]


def test_a_model_too_narrow_for_muon_and_too_large_a_batch_are_refused():
    with pytest.raises(UserError, match="no linear layer with both sides at least 32"):
        build_optimisers(nn.Linear(8, 8), CONFIG)
    with pytest.raises(UserError, match="batch_size 41 exceeds the 40 training images"):
        ResidentBatches(toy_data(), 41, 0, CPU)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_training_lowers_the_loss_and_records_it(optimizer):
    lines = []
    config = dataclasses.replace(CONFIG, optimizer=optimizer)
    trained = trainer(config, evaluate=lambda model: {"score": 7.0}, report=lines.append).run()
    assert [row["step"] for row in trained.curve] == [25, 50, 75]
    assert trained.curve[-1]["loss"] < 0.7 * trained.curve[0]["loss"]
    assert trained.curve[-1]["score"] == 7.0
    assert 0 < trained.curve[-1]["seconds"] == trained.seconds
    assert any("images/s" in line and "left" in line for line in lines)


def test_the_curve_has_a_row_at_every_so_many_steps():
    trained = trainer(dataclasses.replace(CONFIG, steps=50, evaluate_every=20)).run()
    assert [row["step"] for row in trained.curve] == [20, 40, 50]


def test_the_result_is_the_moving_average():
    run = trainer(dataclasses.replace(CONFIG, steps=2, evaluate_every=1))
    weights, average = run.model[1].weight, None
    for step in range(2):
        run.advance()
        new = weights.detach().clone()
        average = new if step == 0 else 0.9 * average + 0.1 * new
    torch.testing.assert_close(run.average.module[1].weight, average)


def test_without_averaging_the_result_is_the_last_weights():
    run = trainer(dataclasses.replace(CONFIG, ema=0.0))
    trained = run.run()
    assert torch.equal(trained.model[1].weight, run.model[1].weight)


def test_a_loss_of_two_phases_changes_at_its_step():
    config = dataclasses.replace(CONFIG, steps=10, evaluate_every=1)

    def double(*batch):
        return 2 * toy_loss(*batch)

    one = trainer(config).run().curve
    two = trainer(config, loss=Phases(toy_loss, double, late_from=6)).run().curve
    assert [b["loss"] / a["loss"] for a, b in zip(one[:7], two[:7], strict=True)] == [1.0] * 6 + [2.0]


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch):
    monkeypatch.setattr("nfbench.train.loop.SECONDS_BETWEEN_SAVES", -1.0)
    whole = trainer().run()

    resume = tmp_path / "resume.pt"
    calls = 0

    def interrupted(*arguments):
        nonlocal calls
        calls += 1
        if calls == 40:
            raise KeyboardInterrupt
        return toy_loss(*arguments)

    with pytest.raises(KeyboardInterrupt):
        trainer(loss=interrupted, resume=resume).run()
    assert resume.is_file()
    lines = []
    resumed = trainer(resume=resume, report=lines.append).run()
    assert lines[0] == "going on from step 25"
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    losses = [[row["loss"] for row in result.curve] for result in (whole, resumed)]
    assert losses[0] == pytest.approx(losses[1])


@pytest.mark.parametrize("at", [33, 75], ids=["between reports", "at the last step"])
def test_sigterm_saves_after_the_step_at_hand_and_nothing_is_lost(tmp_path, at):
    calls = 0

    def terminated(*arguments):
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return toy_loss(*arguments)

    resume, lines = tmp_path / "resume.pt", []
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        trainer(loss=terminated, resume=resume, report=lines.append).run()
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert lines[-1] == f"SIGTERM: saved at step {at}, to go on from there"
    resumed, whole = trainer(resume=resume).run(), trainer().run()
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    steps = [[(row["step"], row["loss"]) for row in result.curve] for result in (whole, resumed)]
    assert steps[0] == [(step, pytest.approx(loss)) for step, loss in steps[1]]
    assert len(resumed.devices) == 1  # however often it was interrupted there


def test_a_training_that_cannot_be_resumed_leaves_sigterm_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def looking(*arguments):
        seen.append(signal.getsignal(signal.SIGTERM))
        return toy_loss(*arguments)

    trainer(dataclasses.replace(CONFIG, steps=1), loss=looking).run()
    assert seen == [before]


def test_a_training_does_not_go_on_from_one_with_other_settings(tmp_path, monkeypatch):
    monkeypatch.setattr("nfbench.train.loop.SECONDS_BETWEEN_SAVES", -1.0)
    path = tmp_path / "resume.pt"
    trainer(resume=path, resume_key="one").run()
    lines = []
    anew = trainer(resume=path, resume_key="other", report=lines.append).run()
    assert lines[0].startswith("starting anew")
    whole = trainer().run()
    for one, other in zip(whole.model.parameters(), anew.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_corrupt_resume_file_is_told(tmp_path):
    path = tmp_path / "resume.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"resume\.pt is corrupt"):
        trainer(resume=path).run()


def test_divergence_stops_the_training_with_a_sentence():
    def exploding(model, images, labels, generator):
        return toy_loss(model, images, labels, generator) * math.inf

    with pytest.raises(UserError, match="Training diverged before step 25"):
        trainer(loss=exploding).run()
