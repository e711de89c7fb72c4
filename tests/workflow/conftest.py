"""The tiny experiment, which runs beside the tests of everything else.

Half of its time goes into imports, which keep one core busy, and so do the other tests: started when they
start, it is nearly done when the first test asks for it.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch

from tests.workflow.runner import command


class TinyRun:
    """The workflow on config/tiny.yaml, running in a folder of its own."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="biflow-bench-workflow-"))
        self._log = self.folder / "snakemake.log"
        # Threads that wait by spinning take the core that a test is running on.
        environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command(self.folder),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def finished(self) -> Path:
        """Return the folder when the workflow has run; raises AssertionError with its log if it failed."""
        assert self._process.wait() == 0, self._log.read_text()
        return self.folder

    def discard(self) -> None:
        """End what still runs, jobs included, and remove the folder."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
        shutil.rmtree(self.folder)


RUN = pytest.StashKey[TinyRun]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the workflow where a test that was chosen needs it."""
    needed = any("finished" in getattr(item, "fixturenames", ()) for item in session.items)
    if needed and not session.config.option.collectonly:
        session.stash[RUN] = TinyRun()
        # Threads that share cores with jobs wait for each other: small tensors then take ten times as long.
        torch.set_num_threads(1)
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave nothing behind, also after an interruption."""
    if RUN in session.stash:
        session.stash[RUN].discard()


@pytest.fixture(scope="session")
def finished(request: pytest.FixtureRequest) -> Path:
    """Return a folder in which the tiny experiment has run from nothing."""
    return request.session.stash[RUN].finished()
