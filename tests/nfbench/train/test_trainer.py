"""Training: schedule, optimisers, EMA, checkpoints, resume and the guard against divergence."""

import copy
import math
import os
import signal
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from baselines import TarFlow, TarFlowSpec, load_flow, save_flow
from baselines.tarflow.training import likelihood_loss
from nfbench.config import TrainingConfig
from nfbench.data.datasets import Dataset
from nfbench.errors import UserError
from nfbench.measurements import write_rows
from nfbench.runtime import Runtime
from nfbench.script import sigterm_noticed
from nfbench.train import muon
from nfbench.train.checkpoint import read_meta
from nfbench.train.muon import BatchedMuon
from nfbench.train.optimisers import build_optimisers, learning_rate_factor
from nfbench.train.trainer import (
    CHECK_EVERY,
    Phases,
    ResidentBatches,
    Trainer,
    curve_rows,
    training,
)

CPU = torch.device("cpu")
RUNTIME = Runtime(CPU, "fp32")
CONFIG = TrainingConfig(
    steps=3 * CHECK_EVERY,
    batch_size=8,
    optimizer="muon",
    learning_rate=1e-2,
    warmup_steps=5,
    ema_decay=0.9,
    evaluate_every=CHECK_EVERY,
)


def changed(**changes):
    return TrainingConfig.model_validate(CONFIG.model_dump() | changes)


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
    return Trainer(toy_model(), loss, batches, config, seed=0, runtime=RUNTIME, **options)


def failing_at(step, action):
    """Return the toy loss, with an action before that step's."""
    calls = iter(range(1, 10**6))

    def loss(*batch):
        if next(calls) == step:
            action()
        return toy_loss(*batch)

    return loss


def interrupt():
    raise KeyboardInterrupt


def same_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def saved_at_every_check(monkeypatch):
    monkeypatch.setattr("nfbench.train.trainer.SECONDS_BETWEEN_SAVES", -1.0)


# Batches, schedule and optimisers.


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


@pytest.mark.parametrize(("decay", "at_a_quarter"), [("linear", 0.75), ("cosine", 0.5 + 0.125**0.5)])
def test_learning_rate_warms_up_and_falls_to_its_floor(decay, at_a_quarter):
    config = changed(steps=105, warmup_steps=5, final_learning_rate_fraction=0.1, decay=decay)
    factors = [learning_rate_factor(step, config) for step in range(106)]
    assert factors[:6] == pytest.approx([0.1, 0.28, 0.46, 0.64, 0.82, 1.0])
    assert factors[30] == pytest.approx(0.1 + 0.9 * at_a_quarter)
    assert factors[55] == pytest.approx(0.1 + 0.9 * 0.5)
    assert factors[105] == pytest.approx(0.1)
    assert all(a >= b for a, b in zip(factors[5:], factors[6:], strict=False))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_optimisers_share_out_every_parameter_once(optimizer):
    model = toy_model()
    optimisers = build_optimisers(model, changed(optimizer=optimizer))
    held = [id(p) for o in optimisers for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    if optimizer == "muon":
        assert [p.shape for p in optimisers[0].param_groups[0]["params"]] == [(40, 36), (36, 40)]


# Updates are of about 0.01. torch takes their products in bfloat16, we do on a GPU.
@pytest.mark.parametrize(("dtype", "atol"), [(torch.bfloat16, 2e-4), (torch.float32, 1e-3)])
def test_muon_in_batches_is_torch_s_and_takes_its_state(dtype, atol, monkeypatch):
    monkeypatch.setattr(muon, "product_dtype", lambda x: dtype)
    shapes = [(96, 32), (32, 32), (128, 32), (32, 128)] * 3
    ours, torchs = ([nn.Parameter(torch.ones(shape) / 10) for shape in shapes] for _ in range(2))
    options = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}
    batched, plain = BatchedMuon(ours, **options), torch.optim.Muon(torchs, **options)
    rng = torch.Generator().manual_seed(0)
    for step in range(4):
        for one, other in zip(ours, torchs, strict=True):
            one.grad = other.grad = torch.randn(one.shape, generator=rng)
        ours[0].grad = torchs[0].grad = None if step == 1 else ours[0].grad
        batched.step()
        plain.step()
    for one, other in zip(ours, torchs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=atol)
        torch.testing.assert_close(batched.state[one], plain.state[other])
    batched.load_state_dict(plain.state_dict())
    plain.load_state_dict(batched.state_dict())


def test_a_model_too_narrow_for_muon_and_too_large_a_batch_are_refused():
    with pytest.raises(UserError, match="no linear layer with both sides at least 32"):
        build_optimisers(nn.Linear(8, 8), CONFIG)
    with pytest.raises(UserError, match="batch_size 41 exceeds the 40 training images"):
        ResidentBatches(toy_data(), 41, 0, CPU)


# The loop.


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_training_lowers_the_loss_and_records_it(optimizer):
    lines = []
    config = changed(optimizer=optimizer)
    trained = trainer(config, evaluate=lambda model: {"score": 7.0}, report=lines.append).run()
    assert [row["step"] for row in trained.curve] == [25, 50, 75]
    assert trained.curve[-1]["loss"] < 0.7 * trained.curve[0]["loss"]
    assert trained.curve[-1]["score"] == 7.0
    assert 0 < trained.curve[-1]["seconds"] == trained.seconds
    assert any("images/s" in line and "left" in line for line in lines)


def test_the_curve_has_a_row_at_every_so_many_steps_and_at_checkpoints():
    config = changed(steps=50, evaluate_every=20)
    assert [row["step"] for row in trainer(config).run().curve] == [20, 40, 50]
    assert [row["step"] for row in trainer(config, checkpoints=[7]).run().curve] == [7, 20, 40, 50]


def test_the_curve_becomes_measurement_rows(tmp_path):
    trained = trainer(evaluate=lambda model: {"validation_nll_nats_per_dim": 1.5}).run()
    rows = curve_rows(trained, "flow", seed=3)
    metrics = ["train_steps", "train_seconds", "loss", "validation_nll_nats_per_dim"]
    assert [(row["metric"], row["step"]) for row in rows[:4]] == [(metric, 25) for metric in metrics]
    assert {(row["sampler"], row["seed"]) for row in rows} == {("flow", 3)}
    write_rows(tmp_path / "curve.csv", rows)  # which refuses metrics that do not exist


def test_the_result_is_the_moving_average():
    run = trainer(changed(steps=2, evaluate_every=1))
    weights, average = run.model[1].weight, None
    for step in range(2):
        run.advance()
        new = weights.detach().clone()
        average = new if step == 0 else 0.9 * average + 0.1 * new
    torch.testing.assert_close(run.average[1].weight, average)


def test_without_averaging_the_result_is_the_last_weights():
    run = trainer(changed(ema_decay=0.0))
    assert same_weights(run.run().model, run.model)


def test_a_loss_of_two_phases_changes_at_its_step():
    config = changed(steps=10, evaluate_every=1)

    def double(*batch):
        return 2 * toy_loss(*batch)

    one = trainer(config).run().curve
    two = trainer(config, loss=Phases(toy_loss, double, late_from=6)).run().curve
    assert [b["loss"] / a["loss"] for a, b in zip(one[:7], two[:7], strict=True)] == [1.0] * 6 + [2.0]


def test_a_long_training_on_a_gpu_compiles_the_frozen_network_too(monkeypatch):
    compiled = []
    monkeypatch.setattr("nfbench.train.trainer.compiling_pays", lambda *_: True)
    monkeypatch.setattr("nfbench.train.trainer.compile_repeated", lambda part: compiled.append(part) or 1)
    frozen, lines = toy_model(), []
    run = trainer(changed(steps=1, evaluate_every=1), frozen=frozen, report=lines.append)
    run.run()
    assert compiled == [run.model, frozen]
    assert "compiling 2 parts of the networks" in lines


def test_divergence_stops_the_training_with_a_sentence():
    with pytest.raises(UserError, match="Training diverged before step 25"):
        trainer(loss=lambda *batch: toy_loss(*batch) * math.inf).run()


# Weights at checkpoints.


def test_the_weights_at_a_checkpoint_are_those_that_a_training_of_so_many_steps_ends_with():
    constant = {"final_learning_rate_fraction": 1.0}
    trained = trainer(changed(**constant), checkpoints=[7, 40]).run()
    assert set(trained.kept) == {7, 40}
    for step, weights in trained.kept.items():
        short = trainer(changed(steps=step, **constant)).run()
        for name, value in short.model.state_dict().items():
            assert torch.equal(weights[name], value), (step, name)


def test_checkpoints_change_nothing_of_the_training():
    plain, kept = trainer().run(), trainer(checkpoints=[1, 33]).run()
    assert same_weights(plain.model, kept.model)


def test_weights_at_checkpoints_survive_a_resume(tmp_path, saved_at_every_check):
    resume, checkpoints = tmp_path / "resume.pt", [7, 40, 60]
    with pytest.raises(KeyboardInterrupt):
        trainer(loss=failing_at(55, interrupt), resume=resume, checkpoints=checkpoints).run()
    resumed = trainer(resume=resume, checkpoints=checkpoints).run()
    whole = trainer(checkpoints=checkpoints).run()
    assert set(resumed.kept) == set(checkpoints)
    for step, weights in whole.kept.items():
        assert all(torch.equal(resumed.kept[step][name], value) for name, value in weights.items())


def test_a_flow_s_file_gives_the_final_weights_and_those_of_its_checkpoints_and_no_others(tmp_path):
    torch.manual_seed(0)
    sizes = {"channels": 1, "image_size": 6, "patch_size": 2, "width": 16, "blocks": 2, "head_dim": 8}
    flow = TarFlow(TarFlowSpec(**sizes, layers_per_block=1, n_classes=2))
    config = changed(optimizer="adamw", steps=12, final_learning_rate_fraction=1.0)
    path, steps = tmp_path / "flow.safetensors", (7, 9)

    def trained(model, config, checkpoints=()):
        batches = ResidentBatches(toy_data(), config.batch_size, 0, CPU)
        options = {"seed": 0, "runtime": RUNTIME, "checkpoints": checkpoints}
        return Trainer(model, likelihood_loss(0.1), batches, config, **options).run()

    fresh = {step: copy.deepcopy(flow) for step in steps}
    whole = trained(flow, config, steps)
    save_flow(path, whole.model, {"training": {"steps": 12}}, whole.kept)
    assert same_weights(load_flow(path), whole.model)
    assert read_meta(path)["training"] == {"steps": 12}
    for step in steps:
        short = trained(fresh[step], config.model_copy(update={"steps": step}))
        assert same_weights(load_flow(path, step), short.model)
        assert not same_weights(load_flow(path, step), whole.model)
    with pytest.raises(UserError, match=r"no weights of step 8; train it again with that checkpoint\.$"):
        load_flow(path, 8)


# Interruptions.


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(tmp_path, saved_at_every_check):
    whole, resume, lines = trainer().run(), tmp_path / "resume.pt", []
    with pytest.raises(KeyboardInterrupt):
        trainer(loss=failing_at(40, interrupt), resume=resume).run()
    assert resume.is_file()
    resumed = trainer(resume=resume, report=lines.append).run()
    assert lines[0] == "going on from step 25"
    assert same_weights(whole.model, resumed.model)
    losses = [[row["loss"] for row in result.curve] for result in (whole, resumed)]
    assert losses[0] == pytest.approx(losses[1])


@pytest.mark.parametrize("at", [33, 75], ids=["between reports", "at the last step"])
def test_sigterm_saves_after_the_step_at_hand_and_nothing_is_lost(tmp_path, at):
    resume, lines = tmp_path / "resume.pt", []
    before = signal.getsignal(signal.SIGTERM)
    terminated = failing_at(at, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        trainer(loss=terminated, resume=resume, report=lines.append).run()
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert lines[-1] == f"SIGTERM: saved at step {at}, to go on from there"
    resumed, whole = trainer(resume=resume).run(), trainer().run()
    assert same_weights(whole.model, resumed.model)
    steps = [[(row["step"], row["loss"]) for row in result.curve] for result in (whole, resumed)]
    assert steps[0] == [(step, pytest.approx(loss)) for step, loss in steps[1]]
    assert len(resumed.devices) == 1  # however often it was interrupted there


def test_a_training_that_cannot_be_resumed_leaves_sigterm_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []
    look = failing_at(1, lambda: seen.append(signal.getsignal(signal.SIGTERM)))
    trainer(changed(steps=1), loss=look).run()
    assert seen == [before]
    with sigterm_noticed() as notice:
        assert signal.getsignal(signal.SIGTERM) is not before
        os.kill(os.getpid(), signal.SIGTERM)
    assert notice.given
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_corrupt_resume_file_is_told(tmp_path):
    path = tmp_path / "resume.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"resume\.pt is corrupt"):
        trainer(resume=path).run()


# A training and the file that it ends in.


def train(output, *, width=1, seed=0, disk_full=False):
    """Train a single number for 50 steps; return how many steps that took, and what was reported."""
    calls, reported = [], []

    def loss(model, images, labels, generator):
        calls.append(1)
        return model.weight.square().sum()

    with training(
        nn.Linear(1, 1),
        loss,
        toy_data(16),
        TrainingConfig(steps=50, batch_size=4, optimizer="adamw", learning_rate=1e-3),
        runtime=RUNTIME,
        seed=seed,
        output=output,
        fingerprint={"width": width},
        report=reported.append,
    ):
        if disk_full:
            raise OSError("disk full")
        output.write_text("weights")
    return len(calls), reported


@pytest.fixture
def unwritten(tmp_path, saved_at_every_check):
    """The output of a training that came to its end and could not be written."""
    output = tmp_path / "model.safetensors"
    with suppress(OSError):
        train(output, disk_full=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.resume.pt"]
    return output


def test_a_finished_training_leaves_its_output_alone(tmp_path):
    output = tmp_path / "model.safetensors"
    assert train(output)[0] == 50
    assert list(tmp_path.iterdir()) == [output]


def test_what_could_not_be_written_is_written_without_training_anew(unwritten):
    steps, reported = train(unwritten)
    assert (steps, list(unwritten.parent.iterdir())) == (0, [unwritten])
    assert "going on from step 50" in reported


@pytest.mark.parametrize("other", [{"width": 2}, {"seed": 1}])
def test_the_state_of_another_training_is_not_gone_on_from(unwritten, other):
    steps, reported = train(unwritten, **other)
    assert steps == 50
    assert any("other settings" in line for line in reported)
