"""Noticing that the machine is to be taken away, so that work ends where nothing is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

STATUS = 128 + signal.SIGTERM  # what a process that SIGTERM ended is known to exit with


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
