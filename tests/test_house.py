"""The order of the house: imports go down only, files stay short, no package index is named."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["nfbench", "baselines", "biflow"]  # from the ground up
STOREYS = {
    "data": 0,
    "sample": 1,
    "train": 1,
    "measure": 2,
    "report": 2,
    "verify": 3,
    "keep": 3,
}  # of nfbench
# What the workflow imports before anything is run, and must have in a moment.
WITHOUT_TORCH = ["baselines", "biflow", "nfbench.experiment", "nfbench.measurements", "nfbench.code"]
MOST_LINES = 400

SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FOLDERS = [*PACKAGES, "workflow", "tests", "config", "docs", ".ci", ".github"]
SUFFIXES = {"", ".py", ".smk", ".yaml", ".yml", ".toml", ".md", ".rst", ".cff", ".lock", ".csv"}
TEXTS = sorted(
    path
    for path in [*ROOT.iterdir(), *(p for folder in FOLDERS for p in (ROOT / folder).rglob("*"))]
    if path.is_file() and path.suffix in SUFFIXES
)
CODE = [path for path in TEXTS if path.suffix in {".py", ".smk"} or path.name == "Snakefile"]
PACKAGE_INDEX = r"pypi\.|python[h]osted\.|anaconda\.(org|com)|pytorch\.org/whl|--(extra-)?index-url"


def name_of(path: Path) -> str:
    """Return a path as it is written in the repository."""
    return path.relative_to(ROOT).as_posix()


def imports(source: str, path: str) -> Iterator[str]:
    """Yield the dotted name of all that a module imports, lazy and relative imports included."""
    folders = path.split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folders[: len(folders) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def storey(parts: list[str]) -> int:
    """Return the storey of a module of nfbench; modules of no folder are the ground, -1."""
    return STOREYS.get(parts[1], -1) if len(parts) > 1 else -1


def goes_down(path: str, imported: str) -> bool:
    """Return whether the module at `path` may import `imported`."""
    here, there = path.removesuffix(".py").split("/"), imported.split(".")
    if there[0] == "snakemake":
        return False
    if there[0] not in PACKAGES:
        return True
    if here[0] != there[0]:
        return PACKAGES.index(there[0]) < PACKAGES.index(here[0])
    if here[0] != "nfbench" or here[1:2] == there[1:2]:
        return True
    return storey(there) < storey(here) or storey(there) == -1


def test_imports_go_down_only():
    found = [(name_of(path), name) for path in SOURCES for name in imports(path.read_text(), name_of(path))]
    assert found
    assert [(path, name) for path, name in found if not goes_down(path, name)] == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("nfbench/config.py", "import baselines"),
        ("nfbench/files.py", "from nfbench.data import noise"),
        ("nfbench/data/noise.py", "from nfbench import measure"),
        ("nfbench/sample/sampler.py", "from ..train.trainer import Trainer"),
        ("nfbench/measure/quality/distances.py", "from nfbench.report.tables import write"),
        ("baselines/farmer.py", "def lazy():\n    from biflow.model import ReverseModel"),
        ("biflow/model.py", "from snakemake.script import snakemake"),
    ],
)
def test_an_import_upwards_or_sideways_is_found(path: str, line: str):
    assert not all(goes_down(path, name) for name in imports(line, path))


def test_what_the_workflow_reads_an_experiment_with_imports_no_torch():
    code = f"import sys, {', '.join(WITHOUT_TORCH)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_files_stay_short():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in CODE}
    assert {path: n for path, n in lengths.items() if n > MOST_LINES} == {}


def test_no_package_index_is_named():
    texts = {name_of(path): path.read_text(errors="replace") for path in TEXTS}
    assert [path for path, text in texts.items() if re.search(PACKAGE_INDEX, text)] == []


def test_links_lead_to_files():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "results/reference").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)", page.read_text())]
    files = [(page, link) for page, link in links if not link.startswith("http")]
    assert files
    assert [(name_of(page), link) for page, link in files if not (page.parent / link).exists()] == []
