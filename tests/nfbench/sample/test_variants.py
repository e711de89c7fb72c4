"""The file of tables 2 and 3."""

from pathlib import Path

import pytest
import yaml

from nfbench.errors import UserError
from nfbench.report.paper_numbers import read_paper_numbers
from nfbench.sample.variants import read_ablations

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "config/ablations.yaml"
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/ablations.schema.yaml").read_text())


@pytest.fixture(scope="module")
def ablations():
    return read_ablations(FILE, SCHEMA)


def test_every_published_number_that_is_referred_to_exists_and_is_an_fid(ablations):
    numbers = read_paper_numbers()
    rows = [ablations.describe(name) for name in ablations.objectives]
    rows += [ablations.describe(ablations.contestant(name)) for name in ablations.variants]
    ids = [row[key] for row in rows for key in ("paper", "paper_base") if row[key]]
    assert len(ids) > 10
    assert all(numbers[identifier].fid > 0 for identifier in ids)


def test_a_row_says_what_it_is_and_what_the_paper_compares_it_with(ablations):
    row = ablations.describe("biflow-naive")
    assert row["described"] == {"title": "naive distillation"}
    assert row["paper"] != row["paper_base"] == ablations.describe("biflow")["paper"]
    row = ablations.describe("biflow@noisy")
    assert row["described"]["factor"] == "denoising"
    assert ablations.describe("farmer")["paper_base"] is None


def test_a_denoised_variant_draws_from_the_model_of_the_other(ablations):
    assert ablations.model("noisy+denoise") == "noisy"
    assert not ablations.variants["noisy+denoise"].trained
    assert ablations.variants["noisy"].trained
    assert not ablations.variants["two-evaluations"].trained


def test_a_misspelt_key_is_named(tmp_path):
    values = yaml.safe_load(FILE.read_text())
    values["variants"]["adaptive"]["chagne"] = "x"
    (tmp_path / "ablations.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match="unknown key 'chagne' in 'variants.adaptive'.*'change'"):
        read_ablations(tmp_path / "ablations.yaml", SCHEMA)
