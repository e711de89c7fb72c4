"""Keep a run where git sees it: results/reference/{experiment}-{device}/.

    python -m nfbench.keep EXPERIMENT [results]
    python -m nfbench.keep                          make the tables and claims of all kept runs again

Copies the measurements, the resolved experiment, the tables and the figures, and adds the folder to
results/reference/index.txt, whose runs stand beside the reader's own in tables and claims. Then the
claims are evaluated on all kept runs again, into results/reference/claims/.
"""

import argparse
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from nfbench.errors import UserError
from nfbench.files import atomic_path
from nfbench.measurements import read_rows, write_frame
from nfbench.report.cells import read_measured
from nfbench.report.claims import write_claims
from nfbench.report.table_specs import applies, read_specs
from nfbench.report.tables import make

ROOT = Path(__file__).resolve().parents[1]

SPECS = ROOT / "config/tables.yaml"
GPUS = ("h100", "h200", "a100")


def kind_of(devices: Sequence[str]) -> str:
    """Return what a folder is called after, e.g. "cpu" or "h100".

    Raises:
        UserError: the measurements were made on several kinds of devices.
    """
    kinds = set()
    for device in devices:
        named = next((gpu for gpu in GPUS if gpu.upper() in device.upper()), "cuda")
        kinds.add(named if "NVIDIA" in device.upper() else "cpu")
    if len(kinds) != 1:
        raise UserError(f"the measurements are of {', '.join(sorted(devices))}; keep runs of one device.")
    return kinds.pop()


def devices(rows: pd.DataFrame) -> list[str]:
    """Return what a run trained and was timed on; what its images are measured on changes no number much."""
    own = rows[rows["metric"].isin(["train_seconds", "ms_per_image"])]
    return list((own if len(own) else rows)["device"].unique())


def keep(experiment: str, results: Path) -> Path:
    """Copy a run; return the folder.

    Raises:
        UserError: it has not run, was made with uncommitted changes, or on several devices.
    """
    source = results / experiment
    rows = read_rows(source / "measurements.csv")
    dirty = [commit for commit in rows["commit"].unique() if not commit or commit.endswith("+dirty")]
    if dirty:
        raise UserError(f"{source} was made with uncommitted changes; commit them and run it again.")
    folder = results / "reference" / f"{experiment}-{kind_of(devices(rows))}"
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    write_frame(folder / "measurements.csv", rows.assign(origin=f"reference {folder.name}"))
    shutil.copyfile(source / "experiment.yaml", folder / "experiment.yaml")
    (about,) = read_measured([folder / "measurements.csv"])[1].values()
    make_tables(folder, [name for name, spec in read_specs(SPECS).items() if applies(spec, about)])
    for path in sorted([*source.glob("report/images/*.png"), *source.glob("report/figures/*.png")]):
        shutil.copyfile(path, folder / "figures" / path.name)
    index = results / "reference/index.txt"
    names = sorted({*(index.read_text().split() if index.is_file() else []), folder.name})
    with atomic_path(index) as temporary:
        temporary.write_text("\n".join(names) + "\n")
    evaluate_claims(index, index.with_name("claims"))
    return folder


def make_tables(folder: Path, names: Iterable[str]) -> None:
    """Make tables of a kept run from its measurements."""
    rows, experiments = read_measured([folder / "measurements.csv"])
    specs = read_specs(SPECS)
    for name in names:
        make(specs[name].model_copy(update={"references": True}), rows, experiments, folder)
        (folder / f"{name}.tex").unlink()


def make_again(index: Path) -> None:
    """Make the tables that the kept runs of `index` have, and the claims, after the specs have changed."""
    for folder in map(index.with_name, index.read_text().split()):
        make_tables(folder, [name for name in read_specs(SPECS) if (folder / f"{name}.csv").is_file()])
    evaluate_claims(index, index.with_name("claims"))


def evaluate_claims(index: Path, folder: Path) -> None:
    """Evaluate the claims on the kept runs that `index` lists, and on nothing else."""
    kept = read_measured(index.with_name(name) / "measurements.csv" for name in index.read_text().split())
    write_claims(ROOT / "config/claims.yaml", *kept, folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Keep a run.

    Raises:
        SystemExit: with status 1 after a `UserError`, whose sentence is shown.
    """
    parser = argparse.ArgumentParser(prog="python -m nfbench.keep", description="Keep a run for git.")
    parser.add_argument(
        "experiment",
        nargs="?",
        help="name of an experiment that has run (default: all kept runs, made again)",
    )
    parser.add_argument("results", nargs="?", default="results", help="folder of results (default: results)")
    options = parser.parse_args(arguments)
    try:
        if options.experiment is None:
            make_again(ROOT / "results/reference/index.txt")
        else:
            print(keep(options.experiment, Path(options.results)))
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
