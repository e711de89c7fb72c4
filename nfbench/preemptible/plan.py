"""What to make of an experiment, in order of value, so that whatever ends the time, the best is done."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nfbench.config import read_experiment
from nfbench.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
TIMING_SCHEMA = ROOT / "workflow/schemas/paper_speed.schema.yaml"  # of experiments that only time


@dataclass(frozen=True)
class Stage:
    """One call of Snakemake.

    Attributes:
        title: what it is for.
        targets: files or rules.
        files: those of the files that must be there for it to be done; () where only Snakemake can tell.
        seeds: to which the experiment is cut down; None for all.
    """

    title: str
    targets: tuple[str, ...]
    files: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None

    def is_done(self, folder: Path) -> bool:
        """Tell whether Snakemake need not be called, as its files are there."""
        return bool(self.files) and all((folder / name).is_file() for name in self.files)

    def overlay(self) -> str:
        """Return what is laid over the experiment file, as YAML, "" for nothing."""
        return "" if self.seeds is None else f"seeds: {json.dumps(self.seeds)}\n"


def read_values(path: Path) -> dict[str, Any]:
    """Read an experiment file of either kind, checked against its schema.

    Raises:
        UserError: the file is missing or against its schema.
    """
    try:
        plain = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        plain = None  # the reader below says what is wrong with it
    timing = isinstance(plain, dict) and "sizes" in plain
    values = read_experiment(path, yaml.safe_load((TIMING_SCHEMA if timing else SCHEMA).read_text()))
    if values["experiment"] != path.stem:
        raise UserError(f"{path}: 'experiment' is '{values['experiment']}'; it must be the name of the file.")
    return values


def experiments_of(values: dict[str, Any]) -> list[str]:
    """Return the experiment's name, then those of others whose files it shares or joins."""
    others = [values.get(f"{kind}_experiment") for kind in ("ablation", "budget")]
    names = [values["experiment"], *values.get("experiments", []), *filter(None, others)]
    return list(dict.fromkeys(names))


def stages(values: dict[str, Any], targets: Iterable[str] = ()) -> list[Stage]:
    """Return what to make, most valuable first.

    Seed by seed, since one seed's whole table is worth more than every seed's flow: the flow and the
    learned reverses, each with its sample set and its distances; then the other samplers' and the floors';
    then, with speeds and figures, all that the seeds so far give.

    Args:
        values: of the experiment file.
        targets: what to make in place of all this, in this order.
    """
    if targets := tuple(targets):
        return [Stage(target, (target,)) for target in targets]
    if "sizes" in values:
        return [*_timing_stages(values), Stage("the table of speeds", ("paper_speed",))]
    seeds = tuple(values["seeds"])
    found = []
    for n, seed in enumerate(seeds, start=1):
        found += _stages_of_seed(values, seed)
        part = seeds[:n] if n < len(seeds) else None
        found.append(Stage(f"tables and figures of {n} of {len(seeds)} seeds", ("all",), seeds=part))
    return found


def _timing_stages(values: dict[str, Any]) -> list[Stage]:
    """Return the timing of every size in turn, all samplers of one before the next."""
    found = []
    for size in values["sizes"]:
        folder = f"results/{values['experiment']}/measure/speed/{size.replace('/', '-')}"
        files = tuple(f"{folder}/{sampler}.json" for sampler in values["samplers"])
        found.append(Stage(f"speeds at size {size}", files, files))
    return found


def pending(planned: list[Stage], folder: Path) -> list[Stage]:
    """Return the stages that are not done.

    Of those that only Snakemake can tell, the ones before a stage that is done have had their turn; the
    last of them makes whatever is missing.
    """
    done = [stage.is_done(folder) for stage in planned]
    passed = max((place for place, is_done in enumerate(done) if is_done), default=-1)
    return [
        stage for place, stage in enumerate(planned) if not done[place] and (stage.files or place > passed)
    ]


def _stages_of_seed(values: dict[str, Any], seed: int) -> list[Stage]:
    experiment, samplers = values["experiment"], values["sampling"]["samplers"]

    def quality(source: str) -> str:
        return f"results/{experiment}/measure/quality/{source}/seed{seed}.json"

    # The methods that have a model of their own; "biflow+denoise" and "biflow@x" are drawn with biflow's.
    learned = [name for name in samplers if name.split("+")[0].split("@")[0] in values.get("reverse", {})]
    found = []
    for name in learned:
        found.append(Stage(f"{name}, seed {seed}", (quality(name),), (quality(name),)))
    others = [name for name in samplers if name not in learned]
    rest = tuple(map(quality, [*others, "floor", "floor-noisy"]))
    return [*found, Stage(f"the other samplers and the floors, seed {seed}", rest, rest)]
