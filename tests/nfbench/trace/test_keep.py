"""Copies of results, and the manifest beside them."""

import json

import pytest

from nfbench.errors import UserError
from nfbench.files import sha256_file
from nfbench.trace.keep import keep

ORIGIN = {"commit": "abc", "device": "NVIDIA H100 80GB HBM3", "device_type": "cuda"}


@pytest.fixture
def made(tmp_path):
    """A table, and a measurement behind it."""
    (tmp_path / "table1.csv").write_text("a\n1\n")
    (tmp_path / "quality.json").write_text("{}")
    return tmp_path


def kept(folder, device):
    reference = folder / "reference" / device
    reference.mkdir(parents=True)
    also = reference / "table1.md"
    also.write_text("| a |")
    keep(
        {str(folder / "table1.csv"): reference / "tables" / "table1.csv"},
        reference / "manifest.json",
        {str(folder / "quality.json"): {"provenance": ORIGIN}},
        experiment="toy",
        device=device,
        config={"seeds": [0]},
        also=[also],
    )
    return reference


@pytest.mark.parametrize("device", ["h100", "cuda"])
def test_a_copy_and_the_manifest_tell_what_they_are(made, device):
    reference = kept(made, device)
    assert (reference / "tables/table1.csv").read_text() == "a\n1\n"
    manifest = json.loads((reference / "manifest.json").read_text())
    assert manifest["files"] == {
        "tables/table1.csv": sha256_file(made / "table1.csv"),
        "table1.md": sha256_file(reference / "table1.md"),
    }
    measured = manifest["measurements"][str(made / "quality.json")]
    assert measured == {"sha256": sha256_file(made / "quality.json"), "provenance": ORIGIN}
    assert (manifest["experiment"], manifest["config"]) == ("toy", {"seeds": [0]})


def test_what_was_made_on_another_device_is_refused_and_nothing_copied(made):
    with pytest.raises(UserError, match="quality.json was drawn on NVIDIA H100"):
        kept(made, "cpu")
    assert not (made / "reference/cpu/tables").exists()
    assert not (made / "reference/cpu/manifest.json").exists()
