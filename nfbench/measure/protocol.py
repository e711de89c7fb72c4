"""The protocol around the speed suite: independent processes in random order.

Every round times every contestant once, each in a process of its own, in an order drawn for that round;
one contestant is timed twice a round, as itself and as its twin, and the ratio of the two must be 1. What
becomes of the times stands in `nfbench.rounds`.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nfbench.errors import UserError
from nfbench.files import read_json
from nfbench.measure.machine import disturbance
from nfbench.rounds import TWIN

MEASURED = ("median_s", "other_cores", "stolen_cores", "load_average", "threads", "batch_size", "guidance")


def entrants(contestants: Sequence[str], twin: str) -> list[str]:
    """Return what a round times: every contestant, and one of them again.

    Raises:
        UserError: `twin` is no contestant.
    """
    if twin not in contestants:
        raise UserError(
            f"'speed.protocol.twin' is '{twin}'; it must be one of {', '.join(contestants)}, the samplers of"
            " the experiment."
        )
    return [*contestants, twin + TWIN]


def orders(entrants: Sequence[str], rounds: int, seed: int) -> list[list[str]]:
    """Draw the order of every round."""
    rng = random.Random(seed)
    return [rng.sample(list(entrants), len(entrants)) for _ in range(rounds)]


def read_run(path: str | Path, cells: Iterable[tuple[int, float]]) -> dict[str, Any]:
    """Read what a process of tests/speed/test_protocol.py wrote.

    Args:
        cells: (batch size, scale of guidance) of all that it was to time.

    Returns:
        cells: what was timed, with `disturbed`, a reason or None; missing: [batch_size, guidance, reason] of
        the others; provenance and conditions of the process, None where it timed nothing.

    Raises:
        UserError: the file is missing, no JSON, or lacks what the suite writes.
    """
    if Path(path).is_file() and not Path(path).read_text():
        # pytest-benchmark writes nothing where nothing was timed.
        reason = "nothing was timed, at no batch size; the log tells why"
        return {"cells": [], "missing": _missing(cells, reason), "provenance": None, "conditions": None}
    content = read_json(path)
    try:
        run = dict(content["protocol"])
        run["cells"] = [_cell(benchmark) for benchmark in content["benchmarks"]]
        known = {(cell["batch_size"], cell["guidance"]) for cell in [*run["cells"], *run["missing"]]}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no result of tests/speed/test_protocol.py ({type(error).__name__}: {error}); delete"
            " it and run the protocol again."
        ) from None
    run["missing"] += _missing([cell for cell in cells if cell not in known], "not timed; the log tells why")
    return run


def killed_run(signal: int, cells: Iterable[tuple[int, float]]) -> dict[str, Any]:
    """Return the run of a process that was ended by a signal before it wrote anything."""
    reason = f"the process was ended by signal {signal}, as happens where memory runs out"
    return {"cells": [], "missing": _missing(cells, reason), "provenance": None, "conditions": None}


def _missing(cells: Iterable[tuple[int, float]], reason: str) -> list[dict[str, Any]]:
    return [{"batch_size": size, "guidance": scale, "reason": reason} for size, scale in cells]


def _cell(benchmark: Mapping[str, Any]) -> dict[str, Any]:
    stats, extra = benchmark["stats"], benchmark["extra_info"]
    times = {name: stats[short] for name, short in (("median_s", "median"), ("q1_s", "q1"), ("q3_s", "q3"))}
    cell = {**extra, **times, "rounds": stats["rounds"]}
    load = {name: cell[name] for name in MEASURED}
    if not load["median_s"] > 0:
        raise ValueError(f"{load['median_s']} is no time")
    cell["disturbed"] = disturbance(
        load["other_cores"], load["stolen_cores"], load["load_average"], load["threads"]
    )
    return cell


def needs_work(runs: Iterable[Mapping[str, Any]], entrant: str) -> bool:
    """Say whether an entrant's next process is to weigh what it computes: until an undisturbed one did."""
    if entrant.endswith(TWIN):
        return False
    cells = [cell for run in runs if run["entrant"] == entrant for cell in run["cells"]]
    done = {(c["batch_size"], c["guidance"]) for c in cells if c.get("work") and c["disturbed"] is None}
    return not cells or any((c["batch_size"], c["guidance"]) not in done for c in cells)
