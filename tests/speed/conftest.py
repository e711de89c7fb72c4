"""What the speed suite times: samplers from checkpoints or with random weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nfbench.device import resolve_device
from nfbench.errors import UserError
from nfbench.files import sha256_file
from nfbench.measure.machine import conditions
from nfbench.provenance import provenance
from nfbench.sample.sampler import Sampler, entry

PROCESS_NOTES = pytest.StashKey[dict[str, Any]]()


def checkpoint_of(name: str, config: pytest.Config) -> Path | None:
    """Return the checkpoint that the command line gives a sampler, None for random weights."""
    option = "--reverse-checkpoint" if entry(name).learned else "--forward-checkpoint"
    path = config.getoption(option)
    return None if path is None else Path(path)


def flow_beside(name: str, config: pytest.Config) -> dict[str, Any]:
    """Return the option `flow` for the samplers that take a forward flow beside their model."""
    make = entry(name).demo_flow
    if make is None:
        return {}
    path = config.getoption("--forward-checkpoint")
    return {"flow": make() if path is None else Path(path)}


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> str:
    """Return the device to time on; "auto" is the GPU where there is one."""
    return resolve_device(pytestconfig.getoption("--device")).type


@pytest.fixture(scope="session")
def build_sampler(pytestconfig: pytest.Config, device: str) -> Callable[[str], tuple[Sampler, str]]:
    """Return name -> (sampler on the chosen device, SHA-256 of its checkpoint or "random")."""
    built: dict[str, tuple[Sampler, str]] = {}

    def build(name: str) -> tuple[Sampler, str]:
        if name not in built:
            built[name] = new_sampler(name, pytestconfig, device)
        return built[name]

    return build


def new_sampler(name: str, config: pytest.Config, device: str) -> tuple[Sampler, str]:
    """Build a sampler; returns it on the device, and the SHA-256 of its checkpoint or "random"."""
    path = checkpoint_of(name, config)
    model = entry(name).demo() if path is None else path
    made = "random" if path is None else sha256_file(path)
    options = json.loads(config.getoption("--sampler-options")) | flow_beside(name, config)
    return entry(name).build(model, **options).to(device), made


@pytest.fixture
def another_sampler(pytestconfig: pytest.Config, device: str) -> Callable[[str], Sampler]:
    """Return name -> a sampler that nothing was drawn with yet, on the chosen device."""
    return lambda name: new_sampler(name, pytestconfig, device)[0]


@pytest.fixture(scope="session")
def process_notes(pytestconfig: pytest.Config, device: str) -> dict[str, Any]:
    """Return what test_protocol.py writes beside its benchmarks: where it ran, and what is missing."""
    notes = {"missing": [], "provenance": provenance(device), "conditions": conditions(device)}
    pytestconfig.stash[PROCESS_NOTES] = notes
    return notes


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Add the notes of test_protocol.py, where it ran, to pytest-benchmark's JSON."""
    if (notes := config.stash.get(PROCESS_NOTES, None)) is not None:
        output_json["protocol"] = notes


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one benchmark per sampler and batch size, or one skipped test in an ordinary run."""
    if not {"sampler_name", "batch_size"} <= set(metafunc.fixturenames):
        return
    if not metafunc.config.getoption("benchmark_only"):
        reason = "speed is measured with: pytest tests/speed --benchmark-only"
        cells = [pytest.param("all", 1, marks=pytest.mark.skip(reason=reason), id="all")]
    else:
        sizes = metafunc.config.getoption("--batch-size") or [1, 64]
        names = chosen_samplers(metafunc.config.getoption("--sampler"))
        cells = [pytest.param(name, b, id=f"{name}-batch{b}") for name in names for b in sizes]
    metafunc.parametrize(("sampler_name", "batch_size"), cells)


def chosen_samplers(names: list[str] | None) -> list[str]:
    """Return the samplers asked for, or all.

    Raises:
        pytest.UsageError: there is no such sampler.
    """
    import biflow  # noqa: F401 - registers the learned samplers
    from baselines import samplers

    try:
        for name in names or []:
            entry(name)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    return names or list(samplers())
