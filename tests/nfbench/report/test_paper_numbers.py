"""The published numbers: all of them can be read, and a mistake in the file is told with its place."""

import re
import tomllib
from pathlib import Path

import pytest

from nfbench.errors import UserError
from nfbench.report.paper_numbers import EMBEDDED, PaperNumber, paper_number, read_paper_numbers

ROOT = Path(__file__).resolve().parents[3]
HEADER, FIRST, *_ = EMBEDDED.read_text().splitlines()
HALF_KNOWN = "x,Paper,2412.06329,m,sampler,ImageNet,64,,,,,,,,S,,,"


@pytest.fixture
def write(tmp_path: Path):
    """Return a function that writes a file of the given lines."""

    def write(*lines: str) -> Path:
        path = tmp_path / "numbers.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def test_every_line_of_the_file_is_a_row_under_its_own_id():
    numbers = read_paper_numbers()
    assert len(numbers) == len(EMBEDDED.read_text().splitlines()) - 1
    assert all(number.id == name for name, number in numbers.items())


def test_every_row_says_where_it_is_from_and_what_is_known():
    for number in read_paper_numbers().values():
        assert re.fullmatch(r"\d{4}\.\d{5}", number.arxiv)
        assert number.grade in ("P", "S", "CHECK")
        assert number.resolution in (32, 64, 128, 256)
        measured = (number.fid, number.ms_per_image, number.relative_time, number.inception_score)
        assert any(value is not None for value in measured), number.id
        assert (number.relative_time is None) or number.note


def test_a_row_has_its_numbers_with_their_types():
    assert paper_number("biflow-biflow-b-2-learned-reverse-imagenet256") == PaperNumber(
        id="biflow-biflow-b-2-learned-reverse-imagenet256",
        paper="BiFlow",
        arxiv="2512.10953",
        model="BiFlow-B/2",
        sampler="learned reverse",
        dataset="ImageNet",
        resolution=256,
        params_millions=133.0,
        nfe="1",
        fid=2.39,
        inception_score=303.0,
        ms_per_image=0.29,
        device="TPU",
        decoder_included="no",
        grade="S",
        relative_time=None,
        speedup=None,
        note="main comparison; SD-VAE latent 4x32x32",
    )


def test_an_empty_cell_is_none(write):
    number = read_paper_numbers(write(HEADER, HALF_KNOWN))["x"]
    assert (number.params_millions, number.nfe, number.fid, number.note) == (None,) * 4


def test_an_unknown_id_is_told_with_the_nearest_one():
    with pytest.raises(UserError, match=r"number 'dit-xl-2-diffusion'; did you mean 'dit-xl-2-diffusion-ima"):
        paper_number("dit-xl-2-diffusion")
    with pytest.raises(UserError, match="known: "):
        paper_number("")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), "the columns must be id, paper, arxiv"),
        ((HEADER.replace(",is,", ",inception,"), FIRST), "the columns must be id, paper, arxiv"),
        (
            (HEADER, FIRST, FIRST),
            "line 3: the id 'biflow-biflow-b-2-learned-reverse-imagenet256' comes twice",
        ),
        ((HEADER, HALF_KNOWN.replace(",S,", ",X,")), "line 2: 'grade' is 'X'"),
        ((HEADER, HALF_KNOWN.replace(",S,", ",,")), "line 2: the key 'grade' is missing"),
        ((HEADER, FIRST, FIRST.replace(",2.39,", ",2.3.9,")), "line 3: 'fid' is '2.3.9'"),
        ((HEADER, FIRST.replace(",2.39,", ",nan,")), "line 2: 'fid' is 'nan'"),
        ((HEADER, FIRST.replace(",256,", ",256.5,")), "line 2: 'resolution' is '256.5'"),
        ((HEADER, FIRST.replace("2512.10953,", "")), "line 2: it must have 18 cells"),
        ((HEADER, FIRST + ",more"), "line 2: it must have 18 cells"),
        ((HEADER, '"x'), "unexpected end of data"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(write, lines: tuple[str, ...], words: str):
    with pytest.raises(UserError, match=re.escape(words)):
        read_paper_numbers(write(*lines))


def test_a_missing_file_and_one_that_is_no_text_are_told(tmp_path: Path):
    with pytest.raises(UserError, match="cannot be read .*; mend it or install the package again"):
        read_paper_numbers(tmp_path / "none.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff")
    with pytest.raises(UserError, match="picture.csv cannot be read"):
        read_paper_numbers(tmp_path / "picture.csv")


def test_the_file_is_part_of_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = settings["tool"]["setuptools"]["package-data"]["nfbench"]
    assert EMBEDDED.relative_to(ROOT / "nfbench").as_posix() in shipped
