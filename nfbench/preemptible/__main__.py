"""The command line: see `python -m nfbench.preemptible --help`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nfbench.errors import UserError
from nfbench.preemptible.packing import MOST_BYTES, MOST_FILES
from nfbench.preemptible.runner import FAILED, FINISHED, TERMINATED, UNFINISHED, Call, run

DESCRIPTION = f"""Run an experiment for limited times on machines that may be taken away, going on each time.

What is worth most is made first. At the end of the time, or at SIGTERM, trainings save their state, and
what must come back is packed into at most {MOST_FILES} files of at most {MOST_BYTES // 2**20} MiB each.
Exit status: {FINISHED} all is made, {UNFINISHED} call again to go on, {TERMINATED} the same after SIGTERM,
{FAILED} something failed."""


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(
        prog="python -m nfbench.preemptible",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("config", type=Path, metavar="CONFIG.yaml", help="the experiment file")
    made.add_argument("--minutes", type=float, metavar="N", help="until the command has returned")
    made.add_argument("--pack", type=Path, metavar="FOLDER", help="where to put what must come back")
    made.add_argument("--unpack", type=Path, metavar="FOLDER", help="a pack to go on from")
    made.add_argument(
        "--directory",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="where the workflow runs and has its results (default: here)",
    )
    made.add_argument(
        "--targets",
        nargs="+",
        default=[],
        metavar="TARGET",
        help="what to make, most valuable first (default: seed by seed, learned reverses first, then tables)",
    )
    made.add_argument("--cores", default="all", metavar="N", help="as Snakemake takes it (default: all)")
    made.add_argument(
        "--gpu-jobs",
        type=int,
        default=4,
        metavar="N",
        help="jobs that may share the device; trainings and timings always run alone (default: 4)",
    )
    made.add_argument(
        "--reserve",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long before the end work is told to stop (default: 30)",
    )
    made.add_argument(
        "--rehearse",
        type=int,
        metavar="CUTS",
        help="instead: run in --directory, which must be empty, once in one go and once cut off so many times"
        " at random moments, packed and unpacked at each, and compare the tables",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    options = parser().parse_args(arguments)
    try:
        if options.rehearse is not None:
            from nfbench.preemptible.rehearsal import rehearse

            same = rehearse(options.config, options.directory, options.rehearse, options.cores)
            return FINISHED if same else FAILED
        if options.minutes is None:
            raise UserError("give the time that there is, e.g. --minutes 10.")
        return run(
            Call(
                config=options.config,
                folder=options.directory.resolve(),
                minutes=options.minutes,
                pack=options.pack,
                unpack=options.unpack,
                targets=tuple(options.targets),
                cores=options.cores,
                gpu_jobs=options.gpu_jobs,
                reserve=options.reserve,
            ),
            report=lambda line: print(f"preemptible: {line}", file=sys.stderr, flush=True),
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")  # lines of the rules come as they are said
    sys.exit(main())
