"""pyproject.toml, requirements.lock and environment.yml name the same packages and versions."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
CONDA_SPECS = [entry for entry in DEPENDENCIES if isinstance(entry, str)]
PIP_SPECS = [spec for entry in DEPENDENCIES if isinstance(entry, dict) for spec in entry["pip"]]

# Where conda's name of a package differs from pip's.
PIP_NAME = {"pytorch": "torch", "matplotlib-base": "matplotlib", "snakemake-minimal": "snakemake"}
UNPINNED = {"python", "pip"}
# What environment.yml is for: the lock's markers are evaluated here.
PLATFORM = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
}


def lock_entries() -> list[tuple[Requirement, list[str]]]:
    """Parse the lock into requirements, each with its hashes."""
    lines = re.sub(r"^ *#.*\n", "", LOCK, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    fields = [[field.strip() for field in line.split("--hash=")] for line in lines]
    return [(Requirement(specification), hashes) for specification, *hashes in fields]


def locked_versions() -> dict[str, str]:
    """Return the version of each package that the lock installs on PLATFORM."""
    return {
        canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement, _ in lock_entries()
        if requirement.marker is None or requirement.marker.evaluate(PLATFORM)
    }


def conda_versions() -> dict[str, str]:
    """Return the version of each package that environment.yml pins, by the name pip gives it."""
    versions = {}
    for spec in [*CONDA_SPECS, *PIP_SPECS]:
        name, _, version = spec.partition("==")
        name = name.split("::")[-1]
        if re.split("[=<>]", name)[0] not in UNPINNED:
            versions[canonicalize_name(PIP_NAME.get(name, name))] = version
    return versions


def declared() -> list[Requirement]:
    dev = PROJECT["optional-dependencies"]["dev"]
    return [Requirement(line) for line in [*PROJECT["dependencies"], *dev]]


@pytest.mark.parametrize("spec", CONDA_SPECS)
def test_conda_can_read_each_spec(spec: str):
    rattler = pytest.importorskip("rattler", reason="py-rattler reads conda specs")
    read = rattler.MatchSpec(spec, strict=True)
    # The name stands between the channel, where one is given, and the version; conda reads the same.
    assert read.name is not None
    assert read.name.normalized == re.split(r"[=<> ]", spec.rpartition("::")[2])[0]


@pytest.mark.parametrize("spec", PIP_SPECS)
def test_pip_can_read_each_spec(spec: str):
    assert Requirement(spec).specifier, f"{spec} pins no version"


@pytest.mark.parametrize(("name", "version"), conda_versions().items())
def test_conda_gets_the_locked_version(name: str, version: str):
    assert version == locked_versions().get(name)


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_a_declared_dependency_is_locked_and_in_the_conda_environment(requirement: Requirement):
    name = canonicalize_name(requirement.name)
    assert requirement.specifier.contains(locked_versions()[name])
    assert name in conda_versions()


def test_the_conda_environment_has_a_python_that_the_project_supports():
    (python,) = (spec for spec in CONDA_SPECS if spec.startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))


def test_the_lock_pins_every_package_with_hashes():
    entries = lock_entries()
    assert entries
    for requirement, hashes in entries:
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert hashes, f"{requirement.name} has no hash"
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in hashes), requirement


def test_the_lock_names_no_url_and_no_index():
    assert "://" not in LOCK
    assert not re.search(r"^-", LOCK, flags=re.MULTILINE)
