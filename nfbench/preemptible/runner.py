"""One experiment for so many minutes: go on from what is there, most valuable first, and stop in time."""

import fcntl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nfbench.errors import UserError
from nfbench.files import sha256_file
from nfbench.interrupt import STATUS, Notice, sigterm_noticed
from nfbench.preemptible.packing import check_destination, pack, unpack
from nfbench.preemptible.plan import ROOT, Stage, experiments_of, pending, read_values, stages
from nfbench.preemptible.processes import Group
from nfbench.provenance import commit

FINISHED, FAILED, UNFINISHED, TERMINATED = 0, 1, 75, STATUS
LOCK = "results/.preemptible.lock"
OVERLAY = "results/.preemptible.yaml"  # laid over the experiment file


@dataclass(frozen=True)
class Call:
    """What the command line asks for.

    Attributes:
        config: the experiment file.
        folder: where the workflow runs; its results are in `folder`/results.
        minutes: until the call has returned.
        pack, unpack: folders of packs, see `nfbench.preemptible.packing`.
        targets: what to make in place of the plan, see `nfbench.preemptible.plan.stages`.
        cores: as Snakemake takes it.
        gpu_jobs: jobs that may share the device, trainings and timings left out, which run alone.
        reserve: seconds before the end at which work is told to stop; half of them to stop, half to pack.
    """

    config: Path
    folder: Path
    minutes: float
    pack: Path | None = None
    unpack: Path | None = None
    targets: tuple[str, ...] = ()
    cores: str = "all"
    gpu_jobs: int = 4
    reserve: float = 30.0


def run(call: Call, report: Callable[[str], None] = print) -> int:
    """Work for the time that there is; return FINISHED, UNFINISHED, TERMINATED, or FAILED.

    FAILED where a stage failed by itself; the others were made all the same.

    Raises:
        UserError: what is asked for cannot be, which is told before anything is run.
    """
    end = time.monotonic() + 60 * call.minutes
    if 60 * call.minutes <= call.reserve:
        raise UserError(
            f"{call.minutes:g} minutes are no more than the {call.reserve:g} seconds kept for stopping; give"
            " more minutes, or a smaller --reserve."
        )
    values = read_values(call.config)
    if call.pack is not None:
        check_destination(call.pack)
    with sigterm_noticed() as notice, _alone(call.folder):
        if call.unpack is not None:
            _unpack(call, values, report)
        status = _work(call, values, end, notice, report)
        if call.pack is not None:
            report(pack(call.folder, call.pack, experiments_of(values), _about(call, values, status)))
    return status


def _work(
    call: Call, values: dict[str, Any], end: float, notice: Notice, report: Callable[[str], None]
) -> int:
    """Call Snakemake stage by stage while there is time."""
    failed = []
    for stage in pending(stages(values, call.targets), call.folder):
        left = end - call.reserve - time.monotonic()
        if left <= 0 or notice.given:
            return _stopped(notice, stage, report)
        report(f"{stage.title}; {left / 60:.1f} minutes left")
        group = Group(command(call, stage))
        status = group.wait(until=lambda: notice.given or time.monotonic() > end - call.reserve)
        if status is None:
            if not group.end(patience=call.reserve / 2):
                report("something did not end by itself and was ended by force")
            return _stopped(notice, stage, report)
        if status:
            failed.append(stage.title)
            report(f"failed: {stage.title}; its rules' errors are above and in results/*/logs")
    report(f"failed: {', '.join(failed)}" if failed else "finished")
    return FAILED if failed else FINISHED


def _stopped(notice: Notice, stage: Stage, report: Callable[[str], None]) -> int:
    report(f"{'SIGTERM' if notice.given else 'the time is up'} at: {stage.title}; call again to go on")
    return TERMINATED if notice.given else UNFINISHED


def command(call: Call, stage: Stage) -> list[str]:
    """Return the command that makes a stage.

    Whether something is to be made again is told from files' ages alone, since Snakemake's own records stay
    behind on the machine that made them; and with a lock of our own, which dies with its process, no machine
    that is taken away leaves one of Snakemake's. A part of the seeds is asked for by a second file, as on the
    command line Snakemake reads lists of numbers as lists of words.
    """
    overlay = call.folder / OVERLAY
    if stage.overlay():
        overlay.parent.mkdir(parents=True, exist_ok=True)
        overlay.write_text(stage.overlay())
    return [
        *(sys.executable, "-m", "snakemake", *stage.targets),
        *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(call.folder)),
        *("--configfile", str(call.config.resolve()), *([str(overlay)] if stage.overlay() else [])),
        *("--cores", call.cores, "--resources", f"gpu={call.gpu_jobs}"),
        *("--rerun-triggers", "mtime", "--rerun-incomplete", "--nolock", "--keep-going"),
    ]


def _unpack(call: Call, values: dict[str, Any], report: Callable[[str], None]) -> None:
    manifest = unpack(call.unpack, call.folder, experiments_of(values))
    report(f"unpacked {len(manifest['files'])} files from {call.unpack}")
    if manifest["commit"] != commit():
        report(
            f"they were made at commit {manifest['commit']}, and this is {commit()}: what is finished stays"
            " as it is; delete what should be made again"
        )
    if manifest["config_sha256"] != sha256_file(call.config):
        report(f"{call.config} has changed since: what is finished stays as it is")


def _about(call: Call, values: dict[str, Any], status: int) -> dict[str, Any]:
    return {
        "experiment": values["experiment"],
        "config_sha256": sha256_file(call.config),
        "commit": commit(),
        "finished": status == FINISHED,
    }


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock.

    Raises:
        UserError: another call holds it.
    """
    path = folder / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another call works in {folder}; wait for it, or name another folder.") from None
        yield
