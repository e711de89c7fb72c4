"""The names of table rows: a sampler, and which setting of its options.

METHOD[@VARIANT][+denoise], e.g. jacobi@tuned+denoise; it is also a folder under results/.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nfbench.files import read_json

DENOISED = "+denoise"


@dataclass(frozen=True)
class Contestant:
    """One row of a table.

    Attributes:
        method: the sampler's name without denoising.
        variant: "tuned" for the threshold that `tune_tau` chose; None for the options of the experiment.
        denoised: whether its images are denoised afterwards.
    """

    method: str
    variant: str | None = None
    denoised: bool = False

    @property
    def sampler(self) -> str:
        """Name in the registry of samplers."""
        return self.method + (DENOISED if self.denoised else "")

    @property
    def drawn(self) -> str:
        """Name of the contestant whose images are denoised to this one's; its own where none are."""
        return self.method + (f"@{self.variant}" if self.variant else "")


def contestant(name: str) -> Contestant:
    """Take a name apart."""
    drawn, suffix, _ = name.partition(DENOISED)
    method, _, variant = drawn.partition("@")
    return Contestant(method, variant or None, bool(suffix))


def options_in_effect(
    given: dict[str, Any], plan: str | Path | None = None, tuning: str | Path | None = None
) -> dict[str, Any]:
    """Return a sampler's options: those given, its plan, and the tuned threshold where there is one.

    Args:
        given: of the experiment.
        plan: the file that `plan_modules` wrote; it settles the number of modules. None or empty for none.
        tuning: the file that `tune_tau` wrote; where no threshold was harmless, the published one stays.
    """
    options = dict(given)
    if plan:
        options.pop("modules", None)
        options["plan"] = read_json(plan)["plan"]
    if tuning and (tau := read_json(tuning)["tau"]) is not None:
        options["tau"] = tau
    return options
