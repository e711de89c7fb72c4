import gzip
import hashlib
import struct

import numpy as np
import pytest

from nfbench.data import idx
from nfbench.errors import UserError


def idx_bytes(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


ARRAYS = {
    "train_images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "train_labels": np.array([1, 0], dtype=np.uint8),
    "test_images": np.full((1, 3, 4), 255, dtype=np.uint8),
    "test_labels": np.array([1], dtype=np.uint8),
}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder with small stand-ins of the four files, known by their true checksums."""
    folder = tmp_path / "published"
    folder.mkdir()
    files = {}
    for key, (name, _) in idx.FASHION_FILES.items():
        content = idx_bytes(ARRAYS[key])
        files[key] = (name, hashlib.sha256(content).hexdigest())
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(idx, "FASHION_FILES", files)
    monkeypatch.setattr(idx, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(idx, "SOURCE_URL", (tmp_path / "nowhere").as_uri())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def assert_read(folder=None):
    arrays = idx.read_fashion(folder)
    assert list(arrays) == list(ARRAYS)
    for key, expected in ARRAYS.items():
        assert np.array_equal(arrays[key], expected)


def test_parsing_undoes_writing():
    for values in ARRAYS.values():
        assert np.array_equal(idx.parse_idx(idx_bytes(values)), values)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00\x0d\x01" + bytes(8),
        b"\x00\x00\x08\x03\x00",
        idx_bytes(ARRAYS["test_images"])[:-1],
    ],
)
def test_what_is_no_idx_file_of_bytes_is_refused(content):
    with pytest.raises(ValueError, match="IDX"):
        idx.parse_idx(content)


def test_a_users_folder_is_read_compressed_or_not(published):
    assert_read(published)
    for path in published.iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert_read(published)


def test_without_a_folder_the_debian_package_is_read(published):
    published.rename(idx.DEBIAN_FOLDER)
    assert_read()


def test_without_the_package_the_files_are_downloaded_once(published, monkeypatch):
    monkeypatch.setattr(idx, "SOURCE_URL", published.as_uri())
    assert_read()
    assert len(list(idx.cache_folder().iterdir())) == 4
    monkeypatch.setattr(idx, "SOURCE_URL", (published / "gone").as_uri())
    assert_read()


def test_only_what_the_cache_lacks_is_downloaded(published, monkeypatch):
    idx.cache_folder().mkdir(parents=True)
    name = idx.FASHION_FILES["train_images"][0]
    (published / f"{name}.gz").rename(idx.cache_folder() / f"{name}.gz")
    monkeypatch.setattr(idx, "SOURCE_URL", published.as_uri())
    assert_read()


def test_a_wrong_download_is_refused_and_leaves_nothing(published, monkeypatch):
    monkeypatch.setattr(idx, "SOURCE_URL", published.as_uri())
    for path in published.iterdir():
        path.write_bytes(gzip.compress(b"a captive portal's page"))
    with pytest.raises(UserError, match="did not deliver the published file"):
        idx.read_fashion()
    assert list(idx.cache_folder().iterdir()) == []


def test_where_all_fails_the_files_their_source_and_their_place_are_named(published):
    with pytest.raises(UserError) as raised:
        idx.read_fashion()
    sentence = str(raised.value)
    for name, _ in idx.FASHION_FILES.values():
        assert f"{name}.gz" in sentence
    assert idx.SOURCE_URL in sentence
    assert str(idx.cache_folder()) in sentence


def test_a_users_folder_that_lacks_a_file_is_named(published):
    (published / f"{idx.FASHION_FILES['test_labels'][0]}.gz").unlink()
    with pytest.raises(UserError, match=f"not complete in {published}"):
        idx.read_fashion(published)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-5], "cannot be read"),
        (lambda content: b"text", "cannot be read"),
        (lambda content: gzip.compress(b"other"), "not the published file"),
    ],
)
def test_a_damaged_file_is_named(published, damage, message):
    path = published / f"{idx.FASHION_FILES['test_images'][0]}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"{path.name} {message}|{path.name} is {message}"):
        idx.read_fashion(published)
