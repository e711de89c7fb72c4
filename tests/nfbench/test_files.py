"""Files that are either whole or absent, and scripts that fail with a sentence."""

import math

import pytest

from nfbench.errors import UserError
from nfbench.files import atomic_path, finite_or_none, read_json, sha256_file, write_json
from nfbench.script import progress, script


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
        with script(log) as report:
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
    with pytest.raises(SystemExit), script(log):
        raise ZeroDivisionError("one over nought")
    assert "ZeroDivisionError: one over nought" in log.read_text()


def test_the_given_threads_are_torch_s(tmp_path):
    import torch

    before = torch.get_num_threads()
    try:
        with script(tmp_path / "rule.log", 1):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_progress_says_how_far_and_how_long(monkeypatch):
    monkeypatch.setattr("nfbench.script.time.monotonic", lambda: 12.0)
    assert progress(20, 60, started=2.0) == "20/60 images  2 images/s  20 s left"


def test_the_hash_of_a_file_is_of_its_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x").startswith("ba7816bf8f01cfea")


def test_what_is_not_finite_is_none():
    assert [finite_or_none(value) for value in (1.5, math.nan, math.inf)] == [1.5, None, None]
