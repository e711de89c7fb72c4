"""Processes for timings, forked from one that has imported torch, which takes longer than many a timing.

    python -m nfbench.measure.speed.forks

reads lines of JSON, [arguments of pytest, file for its output], and answers each with the exit status of a
process of its own: below zero the signal that ended it. It computes nothing itself and touches no GPU, so
that a forked process is as good as a new one.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nfbench.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
PRELOADED = ("torch.utils.flop_counter", "baselines.make", "nfbench.experiment")  # what all timings import


class Forks:
    """Runs pytest in one process after the other, as a context manager."""

    def __enter__(self) -> "Forks":
        command = [sys.executable, "-m", "nfbench.measure.speed.forks"]
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._server = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # No threads before a fork: numpy would start some.
            env=os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self._server.terminate()
        with contextlib.suppress(BrokenPipeError):  # the end of its input ends it
            self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()

    def __call__(self, arguments: Sequence[str], output: Path) -> int:
        """Run pytest with its output in a file; return the exit status, below zero a signal.

        Raises:
            UserError: the process that forks has ended.
        """
        try:
            print(json.dumps([list(arguments), str(output)]), file=self._server.stdin, flush=True)
            return int(self._server.stdout.readline())
        except (BrokenPipeError, ValueError):
            raise UserError("the process that starts timings has ended; the terminal shows why.") from None


def serve() -> None:
    """Fork a process for every line that is read; SIGTERM ends it and the process that runs."""
    import pytest

    for name in PRELOADED:
        importlib.import_module(name)
    child = 0

    def stop(*_: object) -> None:
        if child:
            os.kill(child, signal.SIGKILL)
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for line in sys.stdin:
        arguments, output = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(written, 1)
            os.dup2(written, 2)
            status = pytest.main(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # taking torch apart would take a second
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        child = 0
        print(status, flush=True)


if __name__ == "__main__":
    serve()
