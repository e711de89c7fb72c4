"""Which source files a script depends on, found from its imports, and a hash of what they say.

A job runs again when the parsed code of a module that its script imports changes. Comments, docstrings,
the descriptions of keys and layout do not count.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("nfbench", "baselines", "biflow")


def fingerprint(files: Iterable[str | Path], *settings: Any) -> str:
    """Return a short hash of the code of files with all that they import, and of JSON-able values."""
    content = json.dumps([_code(tuple(files)), settings], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@cache
def _code(files: tuple[str | Path, ...]) -> dict[str, str]:
    return {_name(path): code_hash(path) for path in closure(files)}


def closure(files: Iterable[str | Path]) -> list[Path]:
    """Return the files and all modules that they import, directly or not, sorted.

    Modules of this repository count, and those that lie beside a file of one's own.

    Args:
        files: paths, relative ones to the root of the repository, or dotted names of modules.
    """
    found: set[Path] = set()
    waiting = [_path(each) for each in files]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imports(path)
    return sorted(found)


def _name(path: Path) -> str:
    """Return a file's path in the repository, or the name of one that lies elsewhere."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def _path(file: str | Path) -> Path:
    """Return the absolute path of a file, or of a module by its dotted name."""
    if isinstance(file, str) and not file.endswith(".py"):
        return _module_files(file)[-1]
    return (ROOT / file).resolve()


@cache
def imports(path: Path) -> tuple[Path, ...]:
    """Return the modules that a file imports, see `closure`, the packages that they lie in included."""
    found: list[Path] = []
    is_ours = any(path.is_relative_to(ROOT / package) for package in PACKAGES)
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            found += _module_files(name)
            beside = path.with_name(f"{name.partition('.')[0]}.py")
            found += [beside] if not is_ours and beside.is_file() else []
    return tuple(dict.fromkeys(found))


@cache
def _module_files(name: str) -> tuple[Path, ...]:
    """Return the files that importing a name runs: its module's and its packages'; none for other code."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return ()
    found = []
    for length in range(1, len(parts) + 1):
        base = ROOT.joinpath(*parts[:length])
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                found.append(path)
    return tuple(found)


@cache
def code_hash(path: Path) -> str:
    """Return a hash of a file's parsed code without docstrings and descriptions of keys."""
    tree = _parsed(path)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            node.body = body[1:]
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Field":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_docstring(node: ast.AST) -> bool:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text and isinstance(node.value.value, str)


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())
