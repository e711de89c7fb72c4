"""A rehearsal of the whole affair: cut off at random moments, does an experiment end with the same tables?"""

import csv
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nfbench.errors import UserError
from nfbench.preemptible.plan import read_values
from nfbench.preemptible.runner import FINISHED, TERMINATED

LONG = "600"  # minutes; only the cuts end a call
SEED = 0  # of the moments
# What may differ between two runs: time, and what is said of it.
TIMED = ("train_seconds_", "ms_per_image_", "images_per_second_", "speedup_", "notes")


def rehearse(
    config: Path, folder: Path, cuts: int, cores: str = "all", report: Callable[[str], None] = print
) -> bool:
    """Run an experiment in one go, and again cut off `cuts` times by SIGTERM; tell whether the tables agree.

    Every call after the first works in a fresh folder, with what the last one packed and nothing else. A call
    is cut at a random moment within its share of the time that the whole run took, so before its end.

    Raises:
        UserError: the folder is not empty, or a call failed by itself.
    """
    values = read_values(config)
    if any(folder.glob("*")):
        raise UserError(f"{folder} is not empty; name an empty --directory for the rehearsal.")
    started = time.monotonic()
    _call(config, folder / "whole", cores)
    seconds = time.monotonic() - started
    report(f"in one go: {seconds:.0f} s")
    moments = random.Random(SEED)
    unpack: Path | None = None
    for cut in range(1, cuts + 1):
        moment, pack = moments.uniform(0.2, 1.0) * seconds / (cuts + 1), folder / f"pack{cut}"
        _call(config, folder / f"cut{cut}", cores, unpack=unpack, pack=pack, moment=moment)
        size = sum(path.stat().st_size for path in pack.iterdir()) / 2**20
        report(f"cut {cut} after {moment:.0f} s: packed {size:.1f} MiB in {len(list(pack.iterdir()))} files")
        unpack = pack
    _call(config, folder / "last", cores, unpack=unpack)
    names = ["results/table1.csv", f"results/{values['experiment']}/report/table1.csv"]
    names += [f"results/{values['experiment']}/report/editing.csv"] if "editing" in values else []
    differences = [
        line for name in names for line in differing(folder / "whole" / name, folder / "last" / name)
    ]
    for line in differences:
        report(f"differs: {line}")
    report("the tables differ" if differences else f"after {cuts} cuts the tables are the same")
    return not differences


def _call(
    config: Path,
    folder: Path,
    cores: str,
    unpack: Path | None = None,
    pack: Path | None = None,
    moment: float | None = None,
) -> None:
    """Make one call, and end it by SIGTERM after `moment` seconds.

    Raises:
        UserError: it ended otherwise than it should.
    """
    command = [sys.executable, "-m", "nfbench.preemptible", str(config), "--directory", str(folder)]
    command += ["--minutes", LONG, "--cores", cores]
    command += ["--unpack", str(unpack)] if unpack else []
    command += ["--pack", str(pack)] if pack else []
    running = subprocess.Popen(command)
    try:
        status = running.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        running.terminate()
        status = running.wait()
    expected = FINISHED if moment is None else TERMINATED
    if status != expected:
        raise UserError(
            f"a call of the rehearsal ended with status {status} in place of {expected}, see above."
        )


def differing(one: Path, other: Path) -> list[str]:
    """Return a line for every cell in which two tables differ, columns of time apart.

    Raises:
        UserError: a table is missing.
    """
    tables = []
    for path in (one, other):
        if not path.is_file():
            raise UserError(f"{path} is missing: the rehearsal's run did not make it.")
        with open(path, newline="") as file:
            tables.append(list(csv.DictReader(file)))
    if [len(table) for table in tables] != [len(tables[0])] * 2 or not tables[0]:
        return [f"{one.name}: {len(tables[0])} rows against {len(tables[1])}"]
    return [
        f"{one.name}, row {number}, {column}: {row[column]} against {beside.get(column)}"
        for number, (row, beside) in enumerate(zip(*tables, strict=True), start=1)
        for column in row
        if not column.startswith(TIMED) and row[column] != beside.get(column)
    ]
