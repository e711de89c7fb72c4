"""What every rule's script does around its work: threads, log, SIGTERM, and errors that a user can read."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nfbench.errors import UserError

SIGTERM_STATUS = 128 + signal.SIGTERM  # what a process that SIGTERM ended is known to exit with


@dataclass
class Notice:
    """Whether SIGTERM has come."""

    given: bool = False


@contextmanager
def sigterm_noticed(wanted: bool = True) -> Iterator[Notice]:
    """Turn SIGTERM from the process's end into a notice while the body runs, which has to look at it.

    Outside the main thread, where Python takes no signals, and where it is not wanted, SIGTERM stays what
    it was and the notice is never given.
    """
    notice = Notice()
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield notice
        return

    def give(_number: int, _frame: object) -> None:
        notice.given = True

    before = signal.signal(signal.SIGTERM, give)
    try:
        yield notice
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def script(log: str | Path, threads: int | None = None) -> Iterator[Callable[[str], None]]:
    """Run a script's body with its progress shown on the terminal and kept in its log file.

    Args:
        log: the rule's log file; written anew.
        threads: how many threads the rule was given, to which torch is held; None for a script that
            computes nothing with torch, which is then not even imported.

    Yields:
        A function that reports one line.

    Raises:
        SystemExit: with status 1 after a `UserError`, whose sentence is shown without a traceback.
    """
    logger = _logger(Path(log))
    if threads is not None:
        _limit_threads(threads)
    try:
        yield logger.info
    except UserError as error:
        logger.error("error: %s", error)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        logger.error("interrupted")
        raise
    except Exception:
        logger.exception("a defect in the suite, not in your input:")
        raise SystemExit(1) from None


def progress(done: int, total: int, started: float) -> str:
    """Describe how far a loop over images is; `started` is its start by time.monotonic()."""
    rate = done / max(time.monotonic() - started, 1e-9)
    return f"{done}/{total} images  {rate:.0f} images/s  {(total - done) / rate:.0f} s left"


def _logger(path: Path) -> logging.Logger:
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("nfbench.script")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers.clear()
    label = path.with_suffix("").as_posix().rpartition("logs/")[2]  # tells parallel jobs apart
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter(f"[{label}] %(message)s"))
    file = logging.FileHandler(path, mode="w")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger.addHandler(terminal)
    logger.addHandler(file)
    return logger


def _limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
