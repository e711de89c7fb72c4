"""Tables from the measurements' files: read them, sort them by contestant, and make the rows.

The workflow makes its tables with these functions, and `nfbench.verify` makes them a second time.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.files import read_json
from nfbench.measure.speed import read_benchmark_json
from nfbench.report.ablations import Arm, Published, comparison_table, pairs, verdict_table
from nfbench.report.paper_numbers import read_paper_numbers
from nfbench.report.tables import Floors, Measured, table
from nfbench.sample.contestant import DENOISED, contestant

TABLE1_FILES = ("quality", "floors", "inversion", "reconstruction", "likelihood", "speed")
COMPARISON_FILES = ("quality", "floors", "curves")

Files = Mapping[str, Sequence[str]]


def in_folder(paths: Sequence[str], name: str) -> list[str]:
    """Return the files that lie in a contestant's folder, one a seed."""
    return [path for path in paths if Path(path).parent.name == name]


def _read(paths: Sequence[str], name: str) -> list[dict[str, Any]]:
    return [read_json(path) for path in in_folder(paths, name)]


def _floors(paths: Sequence[str]) -> Floors:
    return Floors(*(_read(paths, name) for name in ("floor", "floor-noisy", "class-means")))


def collect_table1(experiment: str, samplers: Sequence[str], files: Files) -> pd.DataFrame:
    """Return the rows of one experiment in table 1.

    Args:
        samplers: contestants; whoever calls has registered their samplers.
        files: paths by kind, see TABLE1_FILES; `speed` in the order of the samplers.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    measured = [
        Measured(
            contestant=name,
            quality=_read(files["quality"], name),
            # Denoising adds nothing to an error of inversion, which is taken before it; of a
            # reconstruction both errors are in one file.
            inversion=_read(files["inversion"], name.removesuffix(DENOISED)),
            reconstruction=_read(files["reconstruction"], name.removesuffix(DENOISED)),
            speed=read_benchmark_json(speed),
        )
        for name, speed in zip(samplers, files["speed"], strict=True)
    ]
    likelihood = [read_json(path) for path in files["likelihood"]]
    return table(experiment, measured, _floors(files["floors"]), likelihood)


def collect_comparison(
    experiment: str, number: int, rows: Sequence[Mapping[str, Any]], base: str, files: Files
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return table 2 or 3, and the verdicts of its comparisons.

    Args:
        number: 2 or 3.
        rows: of `nfbench.sample.variants.Ablations.describe`.
        base: the contestant that every row is compared with.
        files: paths by kind, see COMPARISON_FILES.

    Raises:
        UserError: a file is missing or cannot be read, or a published number has no such id.
    """
    arms = [_arm(row, files) for row in rows]
    chosen = next(arm for arm in arms if arm.contestant == base)
    made = comparison_table(experiment, number, arms, chosen, _floors(files["floors"]))
    return made, verdict_table(pairs(arms, chosen))


def _arm(row: Mapping[str, Any], files: Files) -> Arm:
    """Read what was measured of one contestant."""
    name = row["contestant"]
    papers = _published(row["paper"]), _published(row["paper_base"])
    return Arm(
        name, row["described"], _read(files["quality"], name), _reconstruction(name, files["curves"]), *papers
    )


def _published(identifier: str | None) -> Published | None:
    return Published(identifier, read_paper_numbers()[identifier].fid) if identifier else None


def _reconstruction(name: str, curves: Sequence[str]) -> list[float]:
    """Return the last validation error of the model that a contestant draws from, one a seed."""
    own = in_folder(curves, contestant(name).drawn) or in_folder(curves, contestant(name).method)
    return [float(pd.read_csv(path)["validation_reconstruction_mse"].iloc[-1]) for path in own]
