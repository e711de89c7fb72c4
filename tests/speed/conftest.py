"""What the speed suite times, and pytest-benchmark's own description of the machine, which takes seconds."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside this one, which are in no package


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_generate_machine_info() -> dict[str, Any]:
    """Leave the machine out: every benchmark has its device in its notes."""
    return {"left_out": True}


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_generate_commit_info() -> dict[str, Any]:
    """Leave the commit out, for the same reason."""
    return {"left_out": True}
