"""Training: precision, schedule, EMA, gradient clipping, checkpoints, resume, divergence guard.

Batches and the randomness of the loss depend on (seed, step) alone, so that an interrupted training resumes
exactly.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nfbench.config import TrainingConfig
from nfbench.data.datasets import Dataset
from nfbench.errors import UserError
from nfbench.files import atomic_path
from nfbench.measurements import row
from nfbench.provenance import config_hash, device_name
from nfbench.runtime import Runtime, autocast, compile_repeated, compiling_pays
from nfbench.script import SIGTERM_STATUS, Notice, sigterm_noticed
from nfbench.train.optimisers import build_optimisers, learning_rate_factor


class ResidentBatches:
    """A data set held whole on the device, shuffled anew every epoch; the last short batch is dropped."""

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, device: torch.device):
        if batch_size > len(dataset):
            raise UserError(
                f"batch_size {batch_size} exceeds the {len(dataset)} training images; set a smaller one."
            )
        self.images = torch.from_numpy(dataset.images).to(device)
        self.labels = torch.from_numpy(dataset.labels).to(device)
        self.batch_size, self.seed = batch_size, seed
        self.per_epoch = len(dataset) // batch_size
        self._epoch, self._order = -1, torch.empty(0)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the uint8 images (B, c, H, W) and labels (B,) of a step."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.images))
            self._epoch, self._order = epoch, torch.from_numpy(order).to(self.images.device)
        chosen = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        return self.images[chosen], self.labels[chosen]


Loss = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
Evaluate = Callable[[nn.Module], dict[str, float]]


@dataclass(frozen=True)
class Phases:
    """A loss that changes once on the way.

    Attributes:
        early: the loss of the first steps.
        late: the loss from step `late_from` on.
    """

    early: Loss
    late: Loss
    late_from: int

    def at(self, step: int) -> Loss:
        """Return the loss of the step that follows `step` others."""
        return self.late if step >= self.late_from else self.early


CHECK_EVERY = 25  # steps between reads of the loss, each of which waits for a GPU
SECONDS_BETWEEN_REPORTS = 10.0
SECONDS_BETWEEN_SAVES = 60.0


@dataclass
class Trained:
    """What a training leaves.

    Attributes:
        model: the exponential moving average of the weights (ema_decay = 0: the last weights).
        seconds: spent on training steps, evaluations and saving left out.
        curve: rows of step, seconds, loss (mean since the last row) and the evaluated measures.
        devices: the names of all that it ran on, in order; more than one where it went on elsewhere.
        kept: EMA weights at the checkpoints, on the CPU, by step.
    """

    model: nn.Module
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    kept: dict[int, dict[str, Tensor]] = field(default_factory=dict)


class Trainer:
    """Trains a model; `run` may be interrupted at any time and called again on the same resume file.

    Args:
        loss: (model, uint8 images, labels, generator) to a scalar; all its randomness comes from the
            generator, which is seeded by (seed, step). Or two of them, one after the other.
        runtime: device, precision and whether to compile.
        frozen: a network that the loss evaluates and does not train, to be compiled with the model.
        checkpoints: steps at which the EMA weights are kept.
        evaluate: measures of the averaged model on validation data, made every `evaluate_every` steps.
        resume: where the unfinished state is kept; removed by the caller once the result is written.
        resume_key: tells this training from others; a state with another key is not gone on from.
        report: takes a line of progress.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss | Phases,
        batches: ResidentBatches,
        config: TrainingConfig,
        *,
        seed: int,
        runtime: Runtime,
        frozen: nn.Module | None = None,
        checkpoints: Collection[int] = (),
        evaluate: Evaluate | None = None,
        resume: Path | None = None,
        resume_key: str = "",
        report: Callable[[str], None] = print,
    ):
        self.model, self.loss, self.batches, self.config = model, loss, batches, config
        self.seed, self.runtime, self.device, self.frozen = seed, runtime, runtime.device, frozen
        self.checkpoints = frozenset(checkpoints)
        self.evaluate, self.resume, self.resume_key, self.report = evaluate, resume, resume_key, report
        self.optimisers = build_optimisers(model, config)
        self.base_rates = [[g["lr"] for g in opt.param_groups] for opt in self.optimisers]
        self.average = deepcopy(model).requires_grad_(False)
        self.step, self.seconds = 0, 0.0
        self.curve: list[dict[str, float]] = []
        self.devices: list[str] = []
        self.kept: dict[int, dict[str, Tensor]] = {}
        self._losses: list[Tensor] = []

    def run(self) -> Trained:
        """Train to the configured number of steps.

        Where there is a resume file, SIGTERM ends the training after the step at hand, and nothing is lost.

        Raises:
            UserError: the loss became non-finite.
            SystemExit: with status 143 after SIGTERM, once the state is saved.
        """
        self._load()
        if (name := device_name(self.device)) not in self.devices:
            self.devices.append(name)
        self.model.train()
        if compiling_pays(self.runtime.compile, self.device, self.config.steps - self.step):
            networks = [network for network in (self.model, self.frozen) if network is not None]
            self.report(f"compiling {sum(map(compile_repeated, networks))} parts of the networks")
        with sigterm_noticed(self.resume is not None) as notice:
            self._train(notice)
        return Trained(self.average, self.seconds, self.curve, self.devices, self.kept)

    def _train(self, notice: Notice) -> None:
        reported = saved = time.monotonic()
        while self.step < self.config.steps:
            started = time.perf_counter()
            first = self.step
            until = min(
                self.config.steps,
                *(first - first % n + n for n in (CHECK_EVERY, self.config.evaluate_every)),
                *(step for step in self.checkpoints if step > first),
            )
            self._losses.append(self.advance())
            while self.step < until and not notice.given:
                self._losses.append(self.advance())
            self._check()  # reads a loss, so the time below covers finished work
            self.seconds += time.perf_counter() - started
            rate = (self.step - first) * self.batches.batch_size / (time.perf_counter() - started)
            now = time.monotonic()
            if now - reported > SECONDS_BETWEEN_REPORTS or self.step == self.config.steps:
                self._progress(rate)
                reported = now
            self._record()
            self._keep()
            if notice.given:
                self._save()
                self.report(f"SIGTERM: saved at step {self.step}, to go on from there")
                raise SystemExit(SIGTERM_STATUS)
            if self.resume and now - saved > SECONDS_BETWEEN_SAVES:
                self._save()
                saved = now

    def advance(self) -> Tensor:
        """Make one step; return its loss, still on the device."""
        factor = learning_rate_factor(self.step, self.config)
        for optimiser, rates in zip(self.optimisers, self.base_rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + self.step)
        images, labels = self.batches.at(self.step)
        with autocast(self.device, self.runtime.precision):
            loss = self._loss_now()(self.model, images, labels, generator)
        loss.backward()
        if self.config.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self._average_weights()
        self.step += 1
        return loss.detach()

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Move the average on; torch's AveragedModel would make the host wait for a GPU at every step."""
        kept, new = ([*m.parameters(), *m.buffers()] for m in (self.average, self.model))
        if self.step == 0:
            torch._foreach_copy_(kept, new)
        else:
            torch._foreach_lerp_(kept, new, 1 - self.config.ema_decay)

    def _loss_now(self) -> Loss:
        return self.loss.at(self.step) if isinstance(self.loss, Phases) else self.loss

    def _check(self) -> None:
        if not torch.isfinite(torch.stack(self._losses)).all():
            raise UserError(
                f"Training diverged before step {self.step}: the loss is not finite; lower the learning"
                " rates, or set gradient_clip or the flow's clip."
            )

    def _record(self) -> None:
        """Add a row to the curve at every `evaluate_every` steps and at the end."""
        due = self.step % self.config.evaluate_every == 0 or self.step in self.checkpoints
        if not due and self.step != self.config.steps:
            return
        row = {"step": self.step, "seconds": self.seconds}
        row["loss"] = torch.stack(self._losses).mean().item()
        self._losses.clear()
        if self.evaluate is not None:
            model = self.average.eval()
            with torch.no_grad():
                row |= self.evaluate(model)
        self.curve.append(row)
        self.report("  ".join(f"{key} {value:.6g}" for key, value in row.items()))

    def _keep(self) -> None:
        """Keep the EMA weights where this step is a checkpoint."""
        if self.step in self.checkpoints and self.step not in self.kept:
            weights = self.average.state_dict()
            self.kept[self.step] = {name: value.detach().cpu().clone() for name, value in weights.items()}

    def _progress(self, rate: float) -> None:
        loss = torch.stack(self._losses[-CHECK_EVERY:]).mean().item()
        left = (self.config.steps - self.step) * self.batches.batch_size / rate
        self.report(
            f"step {self.step}/{self.config.steps}  loss {loss:.4f}  {rate:.0f} images/s  {left:.0f} s left"
        )

    def _save(self) -> None:
        """Keep all that the next run needs to go on from this step as if nothing had happened."""
        state = {
            "key": self.resume_key,
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
            "devices": self.devices,
            "kept": self.kept,
            "losses": [loss.item() for loss in self._losses],
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        with atomic_path(self.resume) as temporary:
            torch.save(state, temporary)

    def _load(self) -> None:
        if self.resume is None or not self.resume.is_file():
            return
        try:
            state = torch.load(self.resume, map_location="cpu", weights_only=True)
            key = state["key"]
        except Exception as error:
            raise UserError(
                f"{self.resume} is corrupt ({str(error).splitlines()[0]}); delete it to start anew."
            ) from error
        if key != self.resume_key:
            self.report(f"starting anew: {self.resume} belongs to a training with other settings")
            return
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        self.devices, self.kept = state["devices"], state["kept"]
        self._losses = [torch.tensor(loss, device=self.device) for loss in state["losses"]]
        self.report(f"going on from step {self.step}")


@contextmanager
def training(
    model: nn.Module,
    loss: Loss | Phases,
    data: Dataset,
    config: TrainingConfig,
    *,
    runtime: Runtime,
    seed: int,
    output: str | Path,
    fingerprint: dict[str, Any],
    **options: Any,
) -> Iterator[Trained]:
    """Train to the end; remove the unfinished state once the block has written the result.

    Args:
        model: on the runtime's device.
        data: what its batches are drawn from.
        output: the file that the block writes; the unfinished state lies beside it.
        fingerprint: what tells this training from another with the same output. Seed, precision and kind of
            device are always part of it; a training goes on after a move to another card of that kind.
        options: of `Trainer`: frozen, checkpoints, evaluate and report.
    """
    resume = Path(output).with_suffix(".resume.pt")
    key = config_hash({"on": [runtime.precision, runtime.device.type], "seed": seed} | fingerprint)
    yield Trainer(
        model,
        loss,
        ResidentBatches(data, config.batch_size, seed, runtime.device),
        config,
        seed=seed,
        runtime=runtime,
        resume=resume,
        resume_key=key,
        **options,
    ).run()
    resume.unlink(missing_ok=True)


def curve_rows(trained: Trained, name: str, seed: int) -> list[dict[str, Any]]:
    """Return the training curve as measurement rows: seconds, loss and validation measures by step."""
    rows = []
    for point in trained.curve:
        keys = {"sampler": name, "seed": seed, "step": point["step"]}
        rows.append(row("train_steps", point["step"], **keys))
        for metric, value in point.items():
            if metric != "step":
                rows.append(row({"seconds": "train_seconds"}.get(metric, metric), value, **keys))
    return rows
