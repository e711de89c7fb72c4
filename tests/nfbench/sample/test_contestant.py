"""Names of table rows, and the options behind them."""

import pytest

from nfbench.files import write_json
from nfbench.sample.contestant import Contestant, contestant, options_in_effect


@pytest.mark.parametrize(
    ("name", "expected", "sampler", "drawn"),
    [
        ("sequential", Contestant("sequential"), "sequential", "sequential"),
        ("biflow", Contestant("biflow"), "biflow", "biflow"),
        ("jacobi+denoise", Contestant("jacobi", None, True), "jacobi+denoise", "jacobi"),
        ("gs-jacobi@tuned", Contestant("gs-jacobi", "tuned"), "gs-jacobi", "gs-jacobi@tuned"),
        ("jacobi@tuned+denoise", Contestant("jacobi", "tuned", True), "jacobi+denoise", "jacobi@tuned"),
    ],
)
def test_a_name_is_taken_apart(name, expected, sampler, drawn):
    found = contestant(name)
    assert found == expected
    assert (found.sampler, found.drawn) == (sampler, drawn)


def test_the_tuned_threshold_takes_the_place_of_the_one_given(tmp_path):
    write_json(tmp_path / "tuning.json", {"tau": 0.2})
    given = {"tau": 0.5, "guess": "zeros"}
    assert options_in_effect(given) == given
    assert options_in_effect(given, tuning=tmp_path / "tuning.json") == {"tau": 0.2, "guess": "zeros"}
    assert given["tau"] == 0.5


def test_where_no_threshold_was_harmless_the_published_one_stays(tmp_path):
    write_json(tmp_path / "tuning.json", {"tau": None})
    assert options_in_effect({}, tuning=tmp_path / "tuning.json") == {}


def test_a_plan_settles_the_number_of_modules(tmp_path):
    write_json(tmp_path / "plan.json", {"plan": [{"modules": 7, "guess": "z"}]})
    options = options_in_effect({"modules": 7, "sweeps": 3}, tmp_path / "plan.json")
    assert options == {"sweeps": 3, "plan": [{"modules": 7, "guess": "z"}]}
