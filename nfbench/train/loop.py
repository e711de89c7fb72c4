"""The one training loop: precision, schedule, EMA, gradient clipping, resume, divergence guard."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nfbench.compiling import compile_repeated, compiling_pays
from nfbench.config import TrainingConfig
from nfbench.device import autocast
from nfbench.errors import UserError
from nfbench.files import atomic_path
from nfbench.interrupt import STATUS, Notice, sigterm_noticed
from nfbench.provenance import device_name
from nfbench.train.batches import ResidentBatches
from nfbench.train.optimisers import build_optimisers, learning_rate_factor

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
        model: the exponential moving average of the weights (ema = 0: the last weights).
        seconds: spent on training steps, evaluations and saving left out.
        curve: rows of step, seconds, loss (mean since the last row) and the evaluated measures.
        devices: the names of all that it ran on, in order; more than one where it went on elsewhere.
    """

    model: nn.Module
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)


class Trainer:
    """Trains a model; `run` may be interrupted at any time and called again on the same resume file.

    Args:
        loss: (model, uint8 images, labels, generator) to a scalar; all its randomness comes from the
            generator, which is seeded by (seed, step). Or two of them, one after the other.
        compile: "auto" or "never", see `nfbench.compiling.compiling_pays`.
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
        device: torch.device,
        precision: str = "fp32",
        compile: str = "never",
        evaluate: Evaluate | None = None,
        resume: Path | None = None,
        resume_key: str = "",
        report: Callable[[str], None] = print,
    ):
        self.model, self.loss, self.batches, self.config = model, loss, batches, config
        self.seed, self.device, self.precision, self.compile = seed, device, precision, compile
        self.evaluate, self.resume, self.resume_key, self.report = evaluate, resume, resume_key, report
        self.optimisers = build_optimisers(model, config)
        self.base_rates = [[g["lr"] for g in opt.param_groups] for opt in self.optimisers]
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
        self.average.requires_grad_(False)
        self.step, self.seconds = 0, 0.0
        self.curve: list[dict[str, float]] = []
        self.devices: list[str] = []
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
        if compiling_pays(self.compile, self.device, self.config.steps - self.step):
            self.report(f"compiling {compile_repeated(self.model)} parts of the network")
        with sigterm_noticed(self.resume is not None) as notice:
            self._train(notice)
        return Trained(self.average.module, self.seconds, self.curve, self.devices)

    def _train(self, notice: Notice) -> None:
        reported = saved = time.monotonic()
        while self.step < self.config.steps:
            started = time.perf_counter()
            first = self.step
            until = min(
                self.config.steps, *(first - first % n + n for n in (CHECK_EVERY, self.config.evaluate_every))
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
            if notice.given:
                self._save()
                self.report(f"SIGTERM: saved at step {self.step}, to go on from there")
                raise SystemExit(STATUS)
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
        with autocast(self.device, self.precision):
            loss = self._loss_now()(self.model, images, labels, generator)
        loss.backward()
        if self.config.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.average.update_parameters(self.model)
        self.step += 1
        return loss.detach()

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
        if self.step % self.config.evaluate_every and self.step != self.config.steps:
            return
        row = {"step": self.step, "seconds": self.seconds}
        row["loss"] = torch.stack(self._losses).mean().item()
        self._losses.clear()
        if self.evaluate is not None:
            model = self.average.module.eval()
            with torch.no_grad():
                row |= self.evaluate(model)
        self.curve.append(row)
        self.report("  ".join(f"{key} {value:.6g}" for key, value in row.items()))

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
        self.devices = state.get("devices", [])
        self._losses = [torch.tensor(loss, device=self.device) for loss in state["losses"]]
        self.report(f"going on from step {self.step}")
