"""Which files a script depends on, and what of a change in them counts."""

import pytest

from nfbench import code

FILES = {
    "nfbench/__init__.py": "",
    "nfbench/a.py": '"""A module."""\n\nNUMBER = 1\n',
    "nfbench/keys.py": 'KEY = Field(1, description="A key.")\n',
    "nfbench/b/__init__.py": "from nfbench.a import NUMBER\n",
    "nfbench/b/c.py": 'def f(x):\n    """Say something."""\n    # a comment\n    return x + 2\n',
    "nfbench/lazy.py": "def g():\n    from nfbench import a\n    return a.NUMBER\n",
    "nfbench/other.py": "import os\n",
    "script.py": "import math\nimport nfbench.b.c\nimport nfbench.keys\n",
    "lazy_script.py": "from nfbench.lazy import g\n",
}


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch):
    """A small repository in place of this one; returns a function that writes a file of it."""

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        clear()

    def clear() -> None:
        for cached in (code.imports, code._module_files, code.code_hash, code._code):
            cached.cache_clear()

    monkeypatch.setattr(code, "ROOT", tmp_path)
    for name, text in FILES.items():
        write(name, text)
    yield write
    clear()


def closure(*files):
    return [path.relative_to(code.ROOT).as_posix() for path in code.closure(files)]


def test_the_closure_has_all_that_is_imported_directly_or_not_and_the_packages_that_it_lies_in():
    package = ["nfbench/__init__.py", "nfbench/a.py", "nfbench/b/__init__.py", "nfbench/b/c.py"]
    assert closure("script.py") == [*package, "nfbench/keys.py", "script.py"]


def test_imports_inside_of_functions_count():
    assert closure("lazy_script.py") == [
        *("lazy_script.py", "nfbench/__init__.py", "nfbench/a.py", "nfbench/lazy.py")
    ]


def test_a_module_may_be_named_by_its_dotted_name():
    assert closure("nfbench.lazy") == ["nfbench/__init__.py", "nfbench/a.py", "nfbench/lazy.py"]


@pytest.mark.parametrize(
    ("name", "text", "counts"),
    [
        ("nfbench/a.py", '"""Another description."""\n\n\nNUMBER = 1  # one\n', False),
        ("nfbench/b/c.py", 'def f(x):\n    """Other words."""\n    return (x + 2)\n', False),
        ("nfbench/keys.py", 'KEY = Field(1, description="The same key.")\n', False),
        ("nfbench/keys.py", 'KEY = Field(2, description="A key.")\n', True),
        ("nfbench/keys.py", 'KEY = f(1, description="The same key.")\n', True),
        ("nfbench/other.py", "import sys\n", False),
        ("nfbench/a.py", '"""A module."""\n\nNUMBER = 2\n', True),
        ("nfbench/b/c.py", "def f(x):\n    return x + 3\n", True),
        ("nfbench/b/__init__.py", "from nfbench.a import NUMBER\n\nOTHER = NUMBER\n", True),
        ("nfbench/__init__.py", "VERSION = 2\n", True),
        ("script.py", "import nfbench.b.c\nimport nfbench.keys\n", True),
    ],
)
def test_code_counts_and_words_about_it_do_not(tree, name, text, counts):
    before = code.fingerprint(["script.py"])
    assert code.fingerprint(["script.py"]) == before
    tree(name, text)
    assert (code.fingerprint(["script.py"]) != before) == counts


def test_what_the_job_is_told_counts():
    prints = {code.fingerprint(["script.py"], *told) for told in ((), (1,), (2,), ({"a": [1]},))}
    assert len(prints) == 4
    assert code.fingerprint(["script.py"], {"a": 1, "b": 2}) == code.fingerprint(
        ["script.py"], {"b": 2, "a": 1}
    )


def test_a_file_of_one_s_own_counts_with_those_beside_it_that_it_imports(tmp_path_factory, tree):
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text("import math\nimport help_of_mine\nfrom nfbench import a\n")
    (folder / "help_of_mine.py").write_text("x = 1\n")
    files = code.closure([folder / "mine.py"])
    assert [path.name for path in files if path.parent == folder] == ["help_of_mine.py", "mine.py"]
    before = code.fingerprint([folder / "mine.py"])
    (folder / "help_of_mine.py").write_text("x = 2\n")
    code.code_hash.cache_clear()
    code._code.cache_clear()
    assert code.fingerprint([folder / "mine.py"]) != before
