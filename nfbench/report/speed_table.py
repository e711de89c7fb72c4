"""One experiment's table of speed: one row a sampler, batch size and scale of guidance, of one device.

A cell that could not be measured has a row with its reason; what the machine does not tell is empty.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from nfbench.errors import UserError
from nfbench.rounds import (
    TWIN,
    Interval,
    cells_of,
    check_origin,
    interval,
    quiet_seconds,
    ratio,
)
from nfbench.sample.contestant import contestant
from nfbench.sample.sampler import entry

COLUMNS = (
    *("experiment", "device", "device_type", "sampler", "variant", "output", "batch_size", "guidance"),
    *("ms_per_image", "ms_per_image_low", "ms_per_image_high", "images_per_second"),
    *("speedup", "speedup_low", "speedup_high", "baseline"),
    *("repeat_ratio", "repeat_low", "repeat_high"),
    *("peak_memory_mib", "flops_per_image", "utilisation", "joules_per_image", "decoder_included"),
    *("processes", "disturbed", "not_warm", "missing", "notes"),
    *("precision", "threads", "openmp", "clock_mhz", "governor", "driver"),
    *("load_average", "other_cores", "stolen_cores", "torch", "config_hash", "commit"),
)
TEXT = dict.fromkeys(("commit", "config_hash", "driver", "torch", "governor", "variant"), str)
KEY = ("sampler", "variant", "guidance", "batch_size")  # of a row among those of one device and experiment


def speed_rows(protocol: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of a protocol, see `nfbench.rounds.read_protocol`.

    Raises:
        UserError: its processes ran on several devices or at several commits.
    """
    origin = check_origin(protocol["runs"], f"the protocol of '{protocol['experiment']}'")
    fixed = {
        "experiment": protocol["experiment"],
        "device": origin["device"],
        "device_type": origin["device_type"],
        "precision": origin["precision"],
        "torch": origin["versions"]["torch"],
        "config_hash": protocol["config_hash"],
        "commit": origin["commit"],
    }
    rows = []
    for scale in protocol["settings"]["guidance"]:
        for size in sorted(protocol["settings"]["batch_sizes"]):
            cell = _Cell(protocol, size, scale)
            rows += [fixed | cell.row(name) for name in protocol["contestants"]]
    order = {name: place for place, name in enumerate(protocol["contestants"])}
    rows.sort(key=lambda row: (row["guidance"], order[row["contestant"]]))
    return pd.DataFrame(rows, columns=["contestant", *COLUMNS])[list(COLUMNS)]


class _Cell:
    """All contestants at one batch size and scale of guidance."""

    def __init__(self, protocol: Mapping[str, Any], batch_size: int, guidance: float):
        self.protocol, self.key = protocol, (batch_size, guidance)
        names = protocol["contestants"]
        self.cells = {n: cells_of(protocol["runs"], n, *self.key) for n in [*names, protocol["twin"] + TWIN]}
        self.seconds = {name: quiet_seconds(cells) for name, cells in self.cells.items()}
        self.times = {name: interval(list(s.values())) for name, s in self.seconds.items() if s}

    def row(self, name: str) -> dict[str, Any]:
        """Return the row of a contestant."""
        size, guidance = self.key
        chosen, cells = contestant(name), list(self.cells[name].values())
        known = entry(chosen.sampler)
        quiet = [cell for cell in cells if cell["disturbed"] is None]
        row = {
            "contestant": name,
            "sampler": chosen.sampler,
            "variant": chosen.variant or ("published" if known.iterative else None),
            "output": known.output,
            "batch_size": size,
            "guidance": guidance,
            "decoder_included": "na",  # images are made of pixels
            "processes": len(quiet),
            "disturbed": len(cells) - len(quiet),
            "not_warm": sum(not cell["warm_up_stable"] for cell in quiet),
            **self._conditions(name),
        }
        if name not in self.times:
            return row | {"missing": self._why_missing(name)}
        scale = 1e3 / size
        row |= _columns("ms_per_image", self.times[name], scale)
        row["images_per_second"] = 1e3 / row["ms_per_image"]
        row |= self._speedup(name, known.output) | self._repeat(name) | _weighed(quiet)
        return row | {"notes": "; ".join(_notes(quiet, len(cells), row)) or None}

    def _speedup(self, name: str, output: str) -> dict[str, Any]:
        """Compare with the fastest exact inverse that ends in the same kind of output."""
        samplers = {n: entry(contestant(n).sampler) for n in self.protocol["contestants"]}
        exact = [n for n, known in samplers.items() if known.exact and known.output == output]
        exact = [n for n in exact if n in self.times]
        if not exact:
            return {}
        fastest = min(exact, key=lambda n: self.times[n].mean)
        if fastest == name:
            return {"speedup": 1.0, "baseline": fastest}
        found = ratio(self.seconds[fastest], self.seconds[name])
        return _columns("speedup", found) | {"baseline": fastest} if found else {}

    def _repeat(self, name: str) -> dict[str, Any]:
        """Compare the contestant that is timed twice a round with itself."""
        if name != self.protocol["twin"]:
            return {}
        found = ratio(self.seconds[name], self.seconds[name + TWIN])
        return _columns("repeat", found, name="ratio") if found else {}

    def _conditions(self, name: str) -> dict[str, Any]:
        """Return the state of the machine: what differs between processes as their median."""
        runs = [run for run in self.protocol["runs"] if run["entrant"] == name and run["conditions"]]
        states, cells = [run["conditions"] for run in runs], self.cells[name].values()
        fixed = ("threads", "openmp", "governor", "driver")
        found = {key: _joined(state[key] for state in states) for key in fixed}
        found["passive"] = any(state["waits_passively"] for state in states)
        found |= {key: _median(state[key] for state in states) for key in ("clock_mhz", "load_average")}
        loads = ("other_cores", "stolen_cores")
        return found | {key: _median(cell[key] for cell in cells) for key in loads}

    def _why_missing(self, name: str) -> str:
        reasons = [
            missing["reason"]
            for run in self.protocol["runs"]
            if run["entrant"] == name
            for missing in run["missing"]
            if (missing["batch_size"], missing["guidance"]) == self.key
        ]
        disturbed = [cell["disturbed"] for cell in self.cells[name].values()]
        if disturbed:
            reasons.insert(0, f"the machine was busy in all {len(disturbed)} processes ({disturbed[0]})")
        return "; ".join(dict.fromkeys(reasons)) or "not timed"


def _columns(
    column: str, found: Interval, scale: float = 1.0, name: str | None = None
) -> dict[str, float | None]:
    """Return an interval in three columns."""
    bounds = {"low": found.low, "high": found.high}
    scaled = {f"{column}_{k}": None if value is None else scale * value for k, value in bounds.items()}
    return {f"{column}_{name}" if name else column: scale * found.mean} | scaled


def _joined(values: Iterable[Any]) -> Any:
    """Return the one value that occurs, several as text, None where none is known."""
    known = list(dict.fromkeys(value for value in values if value is not None))
    return known[0] if len(known) == 1 else " and ".join(map(str, known)) or None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _weighed(quiet: list[dict[str, Any]]) -> dict[str, Any]:
    """Return memory, FLOPs, utilisation and energy of the undisturbed processes that took them."""
    work = next((cell["work"] for cell in quiet if cell["work"]), {})
    peak = _median(cell["peak_memory_bytes"] for cell in quiet)
    measures = ("flops_per_image", "utilisation", "joules_per_image")
    return {"peak_memory_mib": None if peak is None else peak / 2**20} | {
        name: work.get(name) for name in measures
    }


def _notes(quiet: list[dict[str, Any]], processes: int, row: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know before trusting a row."""
    found = []
    if row["disturbed"]:
        found.append(f"{row['disturbed']} of {processes} processes on a busy machine, left out")
    if row["processes"] == 1:
        found.append("one process, no interval")
    if row["not_warm"]:
        found.append(f"times not yet stable in {row['not_warm']} processes")
    if row["passive"]:
        found.append("idle threads wait passively, which distorts short calls")
    if quiet[0]["peak_memory_reason"]:
        found.append(f"no memory: {quiet[0]['peak_memory_reason']}")
    work = next((cell["work"] for cell in quiet if cell["work"]), None)
    if work is None:
        return [*found, "FLOPs and energy were not taken in an undisturbed process"]
    for name, reason in (("utilisation", "utilisation_reason"), ("energy", "joules_reason")):
        if work.get(reason):
            found.append(f"no {name}: {work[reason]}")
    return found


def read_speed(path: str | Path) -> pd.DataFrame:
    """Read a table of speed as it was written.

    Raises:
        UserError: it is missing, no table, of another version, of several devices, holds a row twice, or has
            a time that is none, or neither a time nor a reason.
    """
    try:
        rows = pd.read_csv(path, dtype=TEXT)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; make it with snakemake, or leave it out.") from None
    except (OSError, ValueError) as error:  # of pandas' errors too
        raise UserError(f"{path} cannot be read as a table of speed ({error}).") from None
    if list(rows.columns) != list(COLUMNS):
        raise UserError(f"{path} is no table of speed of this version; make it again or leave it out.")
    reason = _objection(rows)
    if reason:
        raise UserError(f"{path} is refused: {reason}; make it again or leave it out.")
    return rows


def _objection(rows: pd.DataFrame) -> str | None:
    """Say what is wrong with a table of speed."""
    devices = rows["device"].dropna().unique()
    if len(devices) != 1 or rows["device"].isna().any():
        return f"its rows are of {len(devices)} devices, and must be of one"
    if rows.duplicated(["experiment", *KEY]).any():
        return "a sampler is there twice at one batch size and scale of guidance"
    times = pd.to_numeric(rows["ms_per_image"], errors="coerce")
    if (times.isna() & rows["missing"].isna()).any():
        return "a row has neither a time nor a reason why there is none"
    if not times.dropna().map(lambda value: 0 < value < math.inf).all():
        return "a time is not positive"
    return None
