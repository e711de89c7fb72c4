"""Ratios of times, each of two calls made in the same round, since a shared machine's speed drifts.

    pytest tests/speed/test_inverse_ratios.py --benchmark-only --benchmark-json=ratios.json
    python -m nfbench.measure.ratios ratios.json --out ratios.md

    pytest tests/speed/test_training_ratios.py --benchmark-only --device auto --benchmark-json=training.json

Knows no contestant: their names, and which of them are divided, are in the file.
"""

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nfbench.errors import UserError
from nfbench.files import atomic_path, read_json
from nfbench.measure.speed import is_busy

SUITE = "tests/speed/test_inverse_ratios.py"
QUARTILES = ("q1", "median", "q3")
TOLD_OF_TRAINING = {"images_per_second": ("images/s", "{:.0f}"), "utilisation": ("utilisation", "{:.2f}")}


class Interleaved:
    """Times contestants round by round: each is called once a round, in an order drawn for that round.

    Attributes:
        seconds: time of every call by contestant, one value a round.
    """

    def __init__(self, calls: Mapping[str, Callable[[], Any]], seed: int):
        self.seconds: dict[str, list[float]] = {name: [] for name in calls}
        self._calls, self._rng = dict(calls), random.Random(seed)

    def round(self) -> None:
        """Call every contestant once; a call is to return only when its work is done."""
        for name in self._rng.sample(list(self._calls), len(self._calls)):
            before = time.perf_counter()
            self._calls[name]()
            self.seconds[name].append(time.perf_counter() - before)


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return q1, median and q3 of one or more values, linear between neighbours."""
    if len(values) == 1:
        return dict.fromkeys(QUARTILES, values[0])
    return dict(zip(QUARTILES, statistics.quantiles(values, n=4, method="inclusive"), strict=True))


def summary(
    seconds: Mapping[str, Sequence[float]], pairs: Iterable[tuple[str, str]]
) -> dict[str, dict[str, Any]]:
    """Sum up the rounds of a cell, as JSON.

    Args:
        seconds: time of every call by contestant, one value a round.
        pairs: contestants to divide, the first by the second.

    Returns:
        milliseconds: median time of a call by contestant.
        ratios: q1, median and q3 over rounds of every pair's ratio, by "first/second".
    """
    ratios = {
        f"{first}/{second}": quartiles([a / b for a, b in zip(seconds[first], seconds[second], strict=True)])
        for first, second in pairs
    }
    medians = {name: 1e3 * statistics.median(values) for name, values in seconds.items()}
    return {"milliseconds": medians, "ratios": ratios}


def read_ratios(path: str | Path) -> list[dict[str, Any]]:
    """Read the ratios in what pytest-benchmark wrote; benchmarks without ratios are passed over.

    Returns:
        One row per cell: tokens, batch_size, guidance, milliseconds and ratios as of `summary`, rounds,
        busy, and everything else of its extra_info.

    Raises:
        UserError: the file is missing, no JSON, holds no ratios, or lacks what the suite writes.
    """
    again = f"make it with: pytest {SUITE} --benchmark-only --benchmark-json=FILE.json"
    if not Path(path).is_file():
        raise UserError(f"{path} is no file; {again}")
    try:
        content = read_json(path)
    except (UserError, OSError):
        raise UserError(f"{path} cannot be read as JSON; {again}") from None
    try:
        rows = [_row(each) for each in content["benchmarks"] if "ratios" in each["extra_info"]]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is no result of {SUITE} ({type(error).__name__}: {error}); {again}"
        ) from None
    if not rows:
        raise UserError(f"{path} holds no ratios; {again}")
    return rows


def _row(benchmark: Mapping[str, Any]) -> dict[str, Any]:
    extra = benchmark["extra_info"]
    measured = {
        "tokens": int(extra["tokens"]),
        "batch_size": int(extra["batch_size"]),
        "guidance": float(extra["guidance"]),
        "milliseconds": {name: _positive(value) for name, value in extra["milliseconds"].items()},
        "ratios": {
            pair: {name: _positive(spread[name]) for name in QUARTILES}
            for pair, spread in extra["ratios"].items()
        },
        "rounds": int(benchmark["stats"]["rounds"]),
        "busy": is_busy(extra["other_cores"], extra["load_average"]),
    }
    named = {name: extra[name] for name in ("device", "threads", "torch", "commit", "warm_up_stable")}
    return {**extra, **named, **measured}


def _positive(value: Any) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{value} is neither a time nor a ratio")
    return float(value)


def ratio_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of `read_ratios` as Markdown, one table for each set of contestants.

    Times are medians in milliseconds a call, ratios medians over rounds with their quartiles. Steps of
    training tell their model, images a second and utilisation too.
    """
    tables: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        told = [name for name in TOLD_OF_TRAINING if name in row]
        tables.setdefault((*row["milliseconds"], *row["ratios"], *told), []).append(row)
    return "\n\n".join(_table(group) for group in tables.values()) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    times = [f"{name} ms" for name in rows[0]["milliseconds"]]
    ratios = [f"{pair} (quartiles)" for pair in rows[0]["ratios"]]
    more = [
        f"{name} {title}" for told, (title, _) in TOLD_OF_TRAINING.items() for name in rows[0].get(told, {})
    ]
    model = ["model"] if "trained" in rows[0] else []
    lines = [[*model, "T", "batch", "guidance", *times, *ratios, *more, "machine"]]
    lines.append(["---"] * len(model) + ["---:"] * (len(lines[0]) - len(model) - 1) + ["---"])
    lines += [_cells(row) for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{_origin(rows)}"


def _cells(row: Mapping[str, Any]) -> list[str]:
    times = [f"{value:.2f}" if value < 100 else f"{value:.0f}" for value in row["milliseconds"].values()]
    ratios = [f"{r['median']:.2f} ({r['q1']:.2f} to {r['q3']:.2f})" for r in row["ratios"].values()]
    machine = ("busy" if row["busy"] else "quiet") + ("" if row["warm_up_stable"] else ", not warm")
    more = [
        form.format(value)
        for told, (_, form) in TOLD_OF_TRAINING.items()
        for value in row.get(told, {}).values()
    ]
    cell = [str(row["tokens"]), str(row["batch_size"]), f"{row['guidance']:g}"]
    model = [row["trained"]] if "trained" in row else []
    return [*model, *cell, *times, *ratios, *more, machine]


def _origin(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in a line where a table's numbers come from."""
    words = {"device": "{}", "threads": "threads: {}", "torch": "torch {}", "commit": "commit {}"}
    known = [
        text.format(" and ".join(dict.fromkeys(str(row[name]) for row in rows)))
        for name, text in words.items()
    ]
    rounds = [row["rounds"] for row in rows]
    fewest, most = min(rounds), max(rounds)
    return ", ".join([*known, f"rounds: {fewest}" + (f" to {most}" if most > fewest else "")])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of a file, or write it.

    Raises:
        SystemExit: with status 1 after a `UserError`, whose sentence is shown.
    """
    parser = argparse.ArgumentParser(
        prog="python -m nfbench.measure.ratios",
        description="Turn the JSON of a benchmark of ratios into a Markdown table.",
    )
    parser.add_argument("file", metavar="FILE.json", help=f"what --benchmark-json wrote for {SUITE}")
    parser.add_argument("--out", metavar="FILE.md", help="where to write the table (default: print it)")
    options = parser.parse_args(arguments)
    try:
        table = ratio_table(read_ratios(options.file))
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    if options.out is None:
        sys.stdout.write(table)
        return
    with atomic_path(options.out) as temporary:
        temporary.write_text(table)


if __name__ == "__main__":
    main()
