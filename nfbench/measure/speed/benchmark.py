"""The speed benchmark: independent processes in random order, read into measurement rows.

In every repetition every sampler is timed once, in a process of its own, in an order drawn for that
repetition. One sampler is timed twice, as its own A/A replicate: the ratio of the two shows what the
benchmark can resolve. A process is a run of tests/speed/test_samplers.py by pytest-benchmark. Those of a
repetition are forked from one new process, so that repetitions differ in all that a start draws at random.
"""

import itertools
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nfbench.config import FlowConfig, ReverseConfig, SamplerRow
from nfbench.errors import UserError
from nfbench.files import read_json, write_json
from nfbench.measure.speed.forks import Forks
from nfbench.measure.speed.machine import is_busy
from nfbench.measurements import row

SUITE = Path(__file__).resolve().parents[3] / "tests/speed/test_samplers.py"
ERRORS = ("UserError: ", "UsageError: ")  # precede the sentence of a user's mistake in pytest's output

Report = Callable[[str], None]
Row = dict[str, Any]
Timing = tuple[str, str]  # a sampler, and the metric that its time is
TIME, REPLICATE = "ms_per_image", "ms_per_image_replicate"


def timed_once(names: Sequence[str], replicate: str | None = None) -> list[Timing]:
    """Return what a repetition times: every sampler, and one of them again as its A/A replicate.

    Args:
        names: of the samplers.
        replicate: the one that is timed twice; None for the first.

    Raises:
        UserError: `replicate` is not timed, or there is nothing to time.
    """
    if not names:
        raise UserError("no sampler is to be timed; leave 'speed' out, or give a sampler 'speed: true'.")
    if replicate is not None and replicate not in names:
        raise UserError(
            f"'speed.replicate' is '{replicate}'; it must be a sampler that is timed: {', '.join(names)}."
        )
    return [*((name, TIME) for name in names), (replicate or names[0], REPLICATE)]


def orders(timings: Sequence[Timing], repetitions: int, seed: int) -> list[list[Timing]]:
    """Draw the order of every repetition."""
    rng = random.Random(seed)
    return [rng.sample(list(timings), len(timings)) for _ in range(repetitions)]


def scales_of(sampler: Mapping[str, Any], scales: Sequence[float]) -> list[float]:
    """Return the guidance scales that a row is timed at: its own, or all where it has none."""
    return [sampler["guidance"]] if sampler["guidance"] else list(scales)


def precisions_of(sampler: Mapping[str, Any], precisions: Sequence[str] | None) -> list[str] | None:
    """Return what a row is timed in: its own option `precision` where it has one, else all."""
    own = sampler["options"].get("precision")
    return [own] if own else precisions


def random_subject(row: SamplerRow, flow: FlowConfig, reverse: ReverseConfig | None = None) -> dict[str, Any]:
    """Return a subject of `measure` with random weights, of models that give their own shape."""
    return {
        "row": row.model_dump(mode="json"),
        **dict.fromkeys(("model", "flow", "plan", "tolerance", "data")),
        "flow_config": flow.model_dump(mode="json"),
        "reverse_config": reverse and reverse.model_dump(mode="json"),
    }


def measure(
    subjects: Sequence[Mapping[str, Any]],
    speed: Mapping[str, Any],
    *,
    device: str,
    threads: int | None = None,
    report: Report = print,
) -> list[Row]:
    """Time samplers; return the rows of all repetitions.

    Args:
        subjects: for each sampler what its process builds it from: `row` (a `SamplerRow` as a dict), the
            files `model`, `flow`, `plan` and `tolerance` (None for none), and for random weights
            `flow_config`, `reverse_config` and `data`.
        speed: section `speed` of an experiment.
        device: of an experiment, e.g. "auto".
        threads: of torch in every process; None for its own choice.

    Raises:
        UserError: a process fails, or none could time anything.
    """
    by_name = {subject["row"]["name"]: subject for subject in subjects}
    plan = orders(timed_once(list(by_name), speed["replicate"]), speed["repetitions"], speed["seed"])
    common = {"device": device, "threads": threads}
    rows: list[Row] = []
    for repetition, order in enumerate(plan):
        with Forks() as run:
            for name, metric in order:
                costs = metric == TIME and needs_costs(rows, name)
                request = common | request_of(by_name[name], speed) | {"costs": costs}
                report(f"repetition {repetition + 1}/{len(plan)}: {name}")
                rows += rows_of((name, metric), repetition, request, run_process(request, run, report))
    return with_origin(rows)


def request_of(subject: Mapping[str, Any], speed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a process is asked to time of a subject, see `measure`."""
    row = subject["row"]
    chosen = {key: speed[key] for key in ("batch_sizes", "seconds", "min_calls")}
    chosen["guidance"] = scales_of(row, speed["guidance"])
    return {**chosen, "precisions": precisions_of(row, speed["precisions"]), **subject}


def needs_costs(rows: Sequence[Row], sampler: str) -> bool:
    """Return whether utilisation and energy, which take time, are still to be measured undisturbed."""
    found = [each for each in rows if each["sampler"] == sampler and each["metric"] == "utilisation"]
    latest = [each.get("flag") for each in found if each["repetition"] == found[-1]["repetition"]]
    return not latest or "busy" in latest or "unstable" in latest


def run_process(
    request: Mapping[str, Any], run: Callable[[Sequence[str], Path], int], report: Report
) -> list[Row]:
    """Time one sampler in a process of its own.

    Args:
        request: what tests/speed/test_samplers.py reads.
        run: a `Forks`.
        report: is given the reasons for what could not be measured.

    Returns:
        The cells that were timed, see `read_cells`; none where the process was killed.

    Raises:
        UserError: the process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, found, output = (Path(folder, name) for name in ("request.json", "cells.json", "output.txt"))
        write_json(asked, dict(request))
        arguments = [str(SUITE), "-q", "-p", "no:cacheprovider"]
        arguments += ["--benchmark-only", f"--benchmark-json={found}", f"--request={asked}"]
        status = run(arguments, output)
        if status < 0:
            report(f"killed by signal {-status}, as happens where memory runs out")
            return []
        lines = output.read_text().splitlines()
        if status:
            _fail(request["row"]["name"], lines, report)
        for line in lines:
            if line.startswith("SKIPPED"):
                report(line)
        return read_cells(found)


def _fail(name: str, lines: Sequence[str], report: Report) -> None:
    for line in lines:
        report(line)
    told = [line for line in lines if line.startswith("E ")]
    known = [line.partition(word)[2] for line in told for word in ERRORS if word in line]
    raise UserError(known[0] if known else f"the timing of '{name}' failed; the log has pytest's output.")


def read_cells(path: str | Path) -> list[Row]:
    """Read what pytest-benchmark wrote: of every cell its notes (`extra_info`) and `seconds` a call, median.

    The file is empty where nothing was timed.

    Raises:
        UserError: the file is missing, or holds something else.
    """
    if Path(path).is_file() and not Path(path).read_text():
        return []
    content = read_json(path)
    try:
        cells = [each["extra_info"] | {"seconds": each["stats"]["median"]} for each in content["benchmarks"]]
        if any(not cell["seconds"] > 0 or cell["batch_size"] < 1 for cell in cells):
            raise ValueError("a time must be positive")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no result of tests/speed ({type(error).__name__}: {error}); time it again."
        ) from None
    return cells


def rows_of(
    timing: Timing, repetition: int, request: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]
) -> list[Row]:
    """Turn the cells of a process into rows; a cell that is missing becomes one without a time."""
    name, metric = timing
    known = {(cell["precision"], cell["batch_size"], cell["guidance"]): cell for cell in cells}
    asked = request["precisions"] or list(dict.fromkeys(cell["precision"] for cell in cells)) or ["fp32"]
    rows = []
    for at in itertools.product(asked, request["batch_sizes"], request["guidance"]):
        keys = {"sampler": name, **dict(zip(("precision", "batch_size", "guidance"), at, strict=True))}
        keys |= {"repetition": repetition}
        if at in known:
            rows += _cell_rows(metric, keys, known[at])
        else:
            rows.append(row(metric, None, **keys))
    return rows


def flag_of(cell: Mapping[str, Any]) -> str:
    """Return the flag of a cell's times, empty for none."""
    if is_busy(cell["other_cores"], cell["stolen_cores"]):
        return "busy"
    return "" if cell["stable"] and not cell["waits_passively"] else "unstable"


def _cell_rows(metric: str, keys: Row, cell: Mapping[str, Any]) -> list[Row]:
    keys = keys | {key: cell[key] for key in ("device", "commit")}
    flag = flag_of(cell)
    rows = [row(metric, 1e3 * cell["seconds"] / cell["batch_size"], **keys, flag=flag)]
    if metric == REPLICATE:
        return rows
    if cell["precision_error"] is not None:
        rows.append(row("precision_error", cell["precision_error"], **keys))
    peak = cell["peak_memory_bytes"]
    rows.append(row("peak_memory_mib", None if peak is None else peak / 2**20, **keys))
    rows += [row(name, cell[name], **keys) for name in ("other_cores", "clock_mhz")]
    if "costs" in cell:
        rows.append(row("flops_per_image", cell["costs"]["flops_per_image"], **keys))
        for name in ("utilisation", "joules_per_image"):
            value = cell["costs"][name]
            rows.append(row(name, value, **keys, flag="" if value is None else flag))
    return rows


def with_origin(rows: Sequence[Row]) -> list[Row]:
    """Give rows without a time the device and commit of the others.

    Raises:
        UserError: nothing could be timed.
    """
    timed = [each for each in rows if "device" in each]
    if not timed:
        raise UserError("no sampler could be timed; the log has the reasons.")
    origin = {key: timed[0][key] for key in ("device", "commit")}
    return [origin | each for each in rows]
