"""Processes for timings, forked from one that has imported torch, which takes longer than many a timing.

    python -m nfbench.measure.speed.forks

reads lines of JSON, [arguments of pytest, file for its output], and answers each with the exit status of a
process of its own: below zero the signal that ended it. It computes nothing itself and touches no GPU, so
that a forked process is as good as a new one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nfbench.errors import UserError


class Forks:
    """Runs pytest in one process after the other, as a context manager."""

    def __enter__(self) -> "Forks":
        command = [sys.executable, "-m", "nfbench.measure.speed.forks"]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stdin.close()
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
            raise UserError("the process that starts timings has ended; the log has its output.") from None


def serve() -> None:
    """Fork a process for every line that is read."""
    import pytest
    import torch.utils.flop_counter  # noqa: F401

    for line in sys.stdin:
        arguments, output = json.loads(line)
        child = os.fork()
        if child == 0:
            written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(written, 1)
            os.dup2(written, 2)
            sys.exit(pytest.main(arguments))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
