"""The options that a row is drawn and timed with, once its plan and its tolerance have been found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nfbench.files import read_json


def options_in_effect(
    row: Mapping[str, Any], plan: str | Path | None, tolerance: str | Path | None
) -> dict[str, Any]:
    """Return a row's options, completed by what was chosen for it.

    Args:
        row: a `SamplerRow` as a dict.
        plan: file of the plan of GS-Jacobi; it has the number of modules.
        tolerance: file of the tuned tolerance. Where none was harmless the published one stays.
    """
    options = dict(row["options"])
    if plan:
        options.pop("modules", None)
        options["plan"] = read_json(plan)["plan"]
    if tolerance:
        del options["tolerance"]
        found = read_json(tolerance)["tolerance"]
        options |= {} if found is None else {"tolerance": found}
    return options
