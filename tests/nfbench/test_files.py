"""Files that are either whole or absent, and jobs that fail with a sentence."""

import math

import pytest

from nfbench.errors import UserError
from nfbench.files import atomic_path, read_json, write_json
from nfbench.job import job


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "file.txt"

    def fail_half_way():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert list(path.parent.iterdir()) == []
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": math.nan})
    assert read_json(path) == {"a": 1}


def test_missing_and_corrupt_json_are_told(tmp_path):
    with pytest.raises(UserError, match=r"gone\.json is missing"):
        read_json(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"bad\.json is not valid JSON"):
        read_json(tmp_path / "bad.json")


def test_a_user_s_mistake_is_one_sentence_on_terminal_and_in_the_log(tmp_path, capsys):
    log = tmp_path / "logs" / "rule.log"

    def body():
        with job(log) as report:
            report("at work")
            raise UserError("The file x is missing; make it.")

    with pytest.raises(SystemExit) as caught:
        body()
    assert caught.value.code == 1
    for text in (capsys.readouterr().err, log.read_text()):
        assert "at work" in text
        assert "error: The file x is missing; make it." in text
        assert "Traceback" not in text


def test_a_defect_keeps_its_traceback(tmp_path):
    log = tmp_path / "rule.log"
    with pytest.raises(SystemExit), job(log):
        raise ZeroDivisionError("one over nought")
    assert "ZeroDivisionError: one over nought" in log.read_text()
