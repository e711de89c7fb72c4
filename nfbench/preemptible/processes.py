"""A command and all that it starts, ended together."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

LOOK_EVERY = 0.2  # seconds


class Group:
    """A command in a process group of its own, so that its children can be told to end as well."""

    def __init__(self, command: Sequence[str]):
        self._leader = subprocess.Popen(command, start_new_session=True)

    def wait(self, until: Callable[[], bool]) -> int | None:
        """Return the command's exit status, or None where `until` became true first."""
        while True:
            try:
                return self._leader.wait(timeout=LOOK_EVERY)
            except subprocess.TimeoutExpired:
                if until():
                    return None

    def end(self, patience: float) -> bool:
        """Tell all to end by SIGTERM, and end by force what has not after `patience` seconds.

        Children may outlive the command: a shell in between dies at once, while the training it started
        still saves.

        Returns:
            Whether all ended by themselves.
        """
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + patience
        while self._lives():
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                self._leader.wait()
                return False
            time.sleep(LOOK_EVERY)
        return True

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):  # all are gone, which is what is wanted
            os.killpg(self._leader.pid, number)

    def _lives(self) -> bool:
        """Tell whether any of the group runs; one that has ended and waits to be reaped does not."""
        self._leader.poll()
        if Path("/proc/self/stat").is_file():
            return any(_state(stat, self._leader.pid) for stat in Path("/proc").glob("[0-9]*/stat"))
        try:
            os.killpg(self._leader.pid, 0)
        except ProcessLookupError:
            return False
        return True


def _state(stat: Path, group: int) -> bool:
    """Tell whether a process, by its file under /proc, belongs to a group and runs."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()  # the name before may hold anything
    except OSError:
        return False  # it has ended since it was listed
    return int(fields[2]) == group and fields[0] not in "ZX"
