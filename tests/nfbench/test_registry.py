"""The table of sampler types agrees with the classes, and describes classes of one's own by their source."""

import inspect
import sys

import pytest

from nfbench.errors import UserError
from nfbench.registry import OBJECTIVES, TYPES, Options, check_options, load_class, own_type, sampler_type

DRAWN = {name: kind for name, kind in TYPES.items() if kind.draws_from != "data"}
# What no experiment file holds: the network, a name, and what GS-Jacobi's plan comes from.
NOT_OPTIONS = {"self", "flow", "model", "student", "name", "plan", "images"}
OWN = '''
import a_module_that_does_not_exist

class Mine:
    """Samples of one's own.

    More about it.
    """

    output = "noisy"
    exact: bool = True

    def __init__(self, flow, steps=3, *, strength_of_mine=1.0):
        self.flow = flow


class Anything:
    output, draws_from = "clean", "reverse"
    output = "clean"
    iterative = True

    def __init__(self, model, **options):
        self.options = options


class Bare:
    output = "clean"


class Silent:
    pass


class Odd:
    output = "clean"
    draws_from = "nowhere"
'''


def keywords_of(target: str) -> dict[str, object]:
    """Return the keywords of a class with their defaults, those of its guidance included."""
    found, cls = {}, load_class(target)
    for owner in cls.__mro__:
        init = vars(owner).get("__init__")
        if init is None or owner is object:
            continue
        parameters = inspect.signature(init).parameters.values()
        found = {p.name: p.default for p in parameters if p.kind != p.VAR_KEYWORD} | found
        if any(p.name == "guidance_options" for p in parameters):
            from baselines.tarflow.guidance import Guidance

            guidance = inspect.signature(Guidance).parameters.values()
            found |= {p.name: p.default for p in guidance if p.name != "scale"}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return {name: default for name, default in found.items() if name not in NOT_OPTIONS}


@pytest.mark.parametrize("name", DRAWN)
def test_a_class_takes_the_options_that_the_table_says_with_the_same_defaults(name):
    options = DRAWN[name].options.model_fields.items()
    described = {key: field.default for key, field in options if key not in Options.model_fields}
    assert described == keywords_of(DRAWN[name].target)
    assert all(field.description for _, field in options)


@pytest.mark.parametrize("name", DRAWN)
def test_a_type_says_what_it_is(name):
    kind = DRAWN[name]
    assert kind.summary
    assert not (kind.exact and kind.iterative)
    assert kind.iterative == ("tolerance" in kind.options.model_fields)
    assert kind.learned == (name in OBJECTIVES.values())


@pytest.mark.parametrize("package", ["baselines", "biflow"])
def test_every_name_of_a_package_is_found_where_it_is_said_to_be(package):
    module = __import__(package)
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("sequental", {}, "There is no sampler 'sequental'; did you mean 'sequential'?"),
        ("jacobi", {"tau": 0.1}, "'jacobi' has no option 'tau'; known: strength, precision,"),
        ("jacobi", {"tolerence": 0.1}, "'jacobi' has no option 'tolerence'; did you mean 'tolerance'?"),
        (
            "jacobi",
            {"init": "ones"},
            "'init' of 'jacobi' is 'ones': input should be 'z' or 'zeros'",
        ),
        ("jacobi", {"tolerance": -1}, "'tolerance' of 'jacobi' is -1: input should be greater than or equal"),
        ("jacobi", {"tolerance": "tund"}, "the option 'tolerance' of 'jacobi' is 'tund'"),
        ("jacobi", {"max_iterations": True}, "is True: a number is needed, not yes or no"),
        ("selective-jacobi", {"tolerance": None}, "the option 'tolerance' of 'selective-jacobi' is None"),
        ("biflow", {"evaluations": 3}, "the option 'evaluations' of 'biflow' is 3: input should be 1 or 2"),
        ("real", {"tolerance": 1}, "'real' has no option 'tolerance'; known: strength"),
    ],
    ids=str,
)
def test_a_bad_option_is_refused_in_one_sentence(name, options, words):
    with pytest.raises(UserError) as caught:
        check_options(name, options, denoise=True)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_that_comes_as_text_becomes_one():
    assert check_options("biflow", {"evaluations": "2"}, denoise=False) == {"evaluations": 2}


def test_good_options_come_back_as_given_without_defaults():
    given = {"tolerance": "tuned", "init": "zeros", "strength": 0.5}
    assert check_options("jacobi", given, denoise=True) == given
    assert check_options("jacobi", {"tolerance": None}, denoise=True) == {"tolerance": None}


# Classes of one's own.


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


def test_a_class_of_one_s_own_is_described_without_importing_it():
    mine = sampler_type("own.py:Mine")
    assert (mine.output, mine.exact, mine.iterative, mine.draws_from) == ("noisy", True, False, "flow")
    assert (mine.summary, mine.keywords) == ("Samples of one's own.", ("steps", "strength_of_mine"))
    anything = own_type("own.py:Anything")
    assert (anything.output, anything.iterative, anything.keywords) == ("clean", True, None)
    assert own_type("own.py:Bare").keywords == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.py:Mine", "There is no file gone.py"),
        ("own.py:Mien", "own.py has no class 'Mien'; did you mean 'Mine'?"),
        ("own.py:Silent", "class 'Silent' must say what its images are"),
        ("own.py:Odd", "'draws_from' of class 'Odd' must be"),
        ("broken.py:Mine", "broken.py is no Python file"),
    ],
)
def test_what_is_wrong_with_a_class_of_one_s_own_is_told(tmp_path, name, words):
    (tmp_path / "broken.py").write_text("class Mine")
    with pytest.raises(UserError, match=words):
        own_type(name)


def test_options_of_one_s_own_are_the_keywords_of_the_class():
    given = {"steps": 5, "strength_of_mine": 0.3, "strength": 0.5}
    assert check_options("own.py:Mine", given, denoise=True) == given
    assert check_options("own.py:Anything", {"x": 1}, denoise=True) == {"x": 1}
    with pytest.raises(UserError, match="has no option 'step'; did you mean 'steps'?"):
        check_options("own.py:Mine", {"step": 5}, denoise=True)
    with pytest.raises(UserError, match="'own.py:Bare' has no option 'steps'; known: strength"):
        check_options("own.py:Bare", {"steps": 5}, denoise=True)


def test_a_class_of_one_s_own_is_loaded_with_what_lies_beside_it(tmp_path):
    (tmp_path / "beside.py").write_text("NUMBER = 7\n")
    (tmp_path / "works.py").write_text("from beside import NUMBER\nclass Mine:\n    number = NUMBER\n")
    before = list(sys.path)
    assert load_class("works.py:Mine").number == 7
    assert sys.path == before
    with pytest.raises(UserError, match="'own.py:Mine' cannot be loaded: No module named"):
        load_class("own.py:Mine")
    with pytest.raises(UserError, match="'works.py:Other' cannot be loaded"):
        load_class("works.py:Other")
