#!/usr/bin/env python
"""Time the samplers at the paper's sizes, the most telling first, for as long as there is time.

    python tools/gpu/speed.py config/paper-speed.yaml FOLDER --seconds 250

Each step of the plan is one process of the speed benchmark, in a fixed order; rows have intervals where their
step was reached again. After each, all rows so far lie in FOLDER/results/EXPERIMENT/. With --known a later
call goes on where an earlier one on the same machine stopped.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from nfbench.errors import UserError
from nfbench.experiment import load_experiment
from nfbench.files import atomic_path
from nfbench.measure.speed.benchmark import TIME, Row, random_subject, rows_of, run_process, with_origin
from nfbench.measure.speed.forks import Forks
from nfbench.measurements import THIS_RUN, join_rows, read_rows, write_frame, write_rows


class Step(NamedTuple):
    """What a process times."""

    sampler: str
    precisions: tuple[str, ...]
    batch_sizes: tuple[int, ...] = (1,)
    guidance: tuple[float, ...] = (0.0,)
    repetition: int = 0


FAST, BOTH, FULL = ("bf16",), ("fp32", "bf16"), ("fp32", "tf32")
ALL = (0.0, 1.5)  # scales of guidance
HEADLINE = (
    Step("biflow-B", BOTH, (1, 256), ALL),
    Step("sequential-static-B", BOTH, (1,), ALL),
    Step("published-loop-B", FAST),
    Step("sequential-B", BOTH, (1,), ALL),
    Step("sequential-static-B", BOTH, (256,), ALL),
)
PLAN = (
    *HEADLINE,
    Step("biflow-B-compiled", FAST, (1, 256)),
    Step("sequential-static-B-compiled", FAST),
    Step("sequential-XL", BOTH, (1,), ALL),
    Step("biflow-XL", FAST, (1, 256)),
    Step("sequential-static-XL", FAST),
    Step("sequential-static-B+denoise", FAST),
    *(step._replace(repetition=i) for i in (1, 2) for step in HEADLINE),
    Step("biflow-B", ("tf32",), (1, 256)),
    Step("sequential-static-B", ("tf32",), (1, 256)),
    Step("sequential-static-B", FAST, (16, 64)),
    Step("biflow-B", FAST, (16, 64)),
    Step("published-loop-B", FAST, (16,)),
    Step("sequential-B", FAST, (16,)),
    Step("published-loop-B", FULL),
)


def request_for(experiment: Any, step: Step, device: str, seconds: float) -> dict[str, Any]:
    """Return what tests/speed/test_samplers.py reads, for a sampler with random weights."""
    row = next(row for row in experiment.samplers if row.name == step.sampler)
    subject = random_subject(row, experiment.flows[row.flow], experiment.reverses.get(row.reverse))
    cells = {key: list(getattr(step, key)) for key in ("precisions", "batch_sizes", "guidance")}
    how = {"device": device, "threads": None, "seconds": seconds, "min_calls": 3, "costs": True}
    return subject | cells | how


def on_a_cpu(step: Step) -> Step | None:
    """Return the part of a step that a rehearsal without a GPU takes: one image in fp32, no guidance."""
    wanted = "fp32" in step.precisions and step.batch_sizes[0] == 1 and step.repetition == 0
    return Step(step.sampler, ("fp32",)) if wanted else None


def is_known(step: Step, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all that a step times has a time."""
    keys = ("sampler", "precision", "batch_size", "guidance", "repetition")
    timed = [row for row in rows if row["metric"] == TIME and row["value"] and row["value"] > 0]
    found = {tuple(row[key] for key in keys) for row in timed}
    asked = [step.sampler], step.precisions, step.batch_sizes, step.guidance, [step.repetition]
    return set(product(*asked)) <= found


def bank(rows: list[Row], experiment: Any, folder: Path) -> None:
    """Write all rows so far, and the experiment, where a run of Snakemake would have left them."""
    results = folder / "results"
    place, name = results / experiment.experiment, experiment.experiment
    write_rows(place / "speed.csv", with_origin(rows))
    joined = join_rows([place / "speed.csv"], results)
    write_frame(place / "measurements.csv", joined.assign(origin=THIS_RUN, experiment=name))
    with atomic_path(place / "experiment.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False))


def main() -> int:
    """Time what the plan says until the time is up; returns the exit status, 1 where a process failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="an experiment with samplers of the names in the plan")
    parser.add_argument("folder", type=Path, help="where results/ is written")
    parser.add_argument("--seconds", type=float, default=250, help="no process starts later (default: 250)")
    parser.add_argument("--cell", type=float, default=0.5, help="seconds of calls a cell (default: 0.5)")
    parser.add_argument("--device", default="cuda", help="cuda or cpu (default: cuda)")
    parser.add_argument("--first", type=int, default=len(PLAN), help="how many steps of the plan to take")
    parser.add_argument("--known", type=Path, help="rows to go on from where the file exists; written anew")
    options = parser.parse_args()
    started, status, rows = time.monotonic(), 0, []
    try:
        if options.known and options.known.is_file():
            rows += read_rows(options.known).to_dict("records")
        experiment = load_experiment(options.config)
        if rows:
            bank(rows, experiment, options.folder)
        known = {row.name for row in experiment.samplers}
        plan = PLAN if options.device != "cpu" else tuple(filter(None, map(on_a_cpu, PLAN)))
        for step in [step for step in plan if step.sampler in known][: options.first]:
            if is_known(step, rows):
                continue
            if time.monotonic() - started > options.seconds:
                print(f"no time left for {step}", flush=True)
                continue
            begun, request = time.monotonic(), request_for(experiment, step, options.device, options.cell)
            try:
                with Forks() as run:
                    cells = run_process(request, run, lambda line: print(line, flush=True))
            except UserError as error:
                print(f"failed: {step}: {error}", flush=True)
                status = 1
                continue
            made = rows_of((step.sampler, TIME), step.repetition, request, cells)
            rows += made
            for row in made:
                if row["metric"] in (TIME, "utilisation"):
                    at = " ".join(str(row[key]) for key in ("precision", "batch_size", "guidance"))
                    print(f"{step.sampler} {at} {row['metric']} {row['value']} {row.get('flag', '')}")
            print(f"{step.sampler}: {time.monotonic() - begun:.1f} s in all", flush=True)
            if cells:
                bank(rows, experiment, options.folder)
                if options.known:
                    write_rows(options.known, with_origin(rows))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
