"""Which of an experiment's files must come back from a machine, and which first where not all fit."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

RESUME = ".resume.pt"  # the state of a training that has not ended
TIMESTAMP = ".snakemake_timestamp"  # Snakemake's age of a folder that is an output
MEASURED = {".json", ".csv", ".md", ".tsv"}

# What files are worth, most first. Numbers cost little room and everything else was made for them. A
# training's time is lost with its state, and with its weights where something still waits for them; sample
# sets and statistics are made again in seconds to minutes.
KINDS = ("measured", "resume states", "weights", "statistics", "figures", "sample sets", "the rest")


@dataclass(frozen=True)
class Item:
    """A file that may come back.

    Attributes:
        path: relative to the folder that the workflow runs in.
        size: bytes.
        modified: nanoseconds since the epoch; their order is what tells Snakemake that nothing is to be
            made again.
    """

    path: Path
    size: int
    modified: int


def kind(path: Path) -> str:
    """Return which of KINDS a file is."""
    if "logs" in path.parts:
        return "the rest"
    if path.name.endswith(RESUME):
        return "resume states"
    if path.suffix in MEASURED or path.name == TIMESTAMP:
        return "measured"
    if path.suffix == ".safetensors":
        return "weights"
    if path.suffix == ".npz":
        return "sample sets" if "sample" in path.parts else "statistics"
    return "figures" if path.suffix in {".png", ".pdf"} else "the rest"


def _is_left_alone(path: Path) -> bool:
    """Tell half-written files, whose names start with a dot, and states of trainings that have ended."""
    if path.name.startswith(".") and path.name != TIMESTAMP:
        return True
    weights = path.with_name(path.name.removesuffix(RESUME) + ".safetensors")
    return path.name.endswith(RESUME) and weights.is_file()


def items(folder: Path, experiments: Iterable[str]) -> list[Item]:
    """List what the workflow has made in `folder` of some experiments, and the tables over all of them."""
    results = folder / "results"
    found = [path for path in results.glob("*.*") if path.is_file()]
    for name in experiments:
        for place in (results / name, results / "figures" / name, *results.glob(f"reference/{name}-*")):
            found += [path for path in place.rglob("*") if path.is_file()]
    kept = [path for path in sorted(set(found)) if not _is_left_alone(path)]
    stats = [(path.relative_to(folder), path.stat()) for path in kept]
    return [Item(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]


def by_worth(found: Iterable[Item]) -> list[Item]:
    """Sort files, those worth most first; of a kind the newest first, for which most may still wait."""
    return sorted(found, key=lambda item: (KINDS.index(kind(item.path)), -item.modified))


def choose(found: Iterable[Item], room: int, cost: int = 0) -> tuple[list[Item], list[Item]]:
    """Take files by their worth while there is room; return those taken, and those left out.

    A file that does not fit is passed over, and smaller ones after it may still be taken.

    Args:
        room: bytes for all.
        cost: bytes that a file takes beside its own.
    """
    taken, left_out = [], []
    for item in by_worth(found):
        needed = item.size + cost
        if needed <= room:
            room -= needed
            taken.append(item)
        else:
            left_out.append(item)
    return taken, left_out


def sentence(left_out: list[Item]) -> str:
    """Say in a line what did not fit, "" where everything did."""
    if not left_out:
        return ""
    parts = []
    for name in KINDS:
        sizes = [item.size for item in left_out if kind(item.path) == name]
        if sizes:
            parts.append(f"{name} ({len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB)")
    return f"left out for want of room: {', '.join(parts)}; they are made again where something needs them"
