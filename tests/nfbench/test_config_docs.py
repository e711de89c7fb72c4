"""docs/config.md is what the models of the keys print."""

import json
import subprocess
import sys
from pathlib import Path

from nfbench.config_docs import SECTIONS, documentation
from nfbench.registry import TYPES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs/config.md"


def test_the_documentation_is_printed_from_the_models_as_they_are():
    assert DOCS.read_text() == documentation(), "print it: python -m nfbench.config_docs > docs/config.md"


def test_every_key_and_every_option_is_in_it():
    text = documentation()
    keys = {key for model in SECTIONS for key in model.model_fields}
    keys |= {key for kind in TYPES.values() for key in kind.options.model_fields}
    assert [key for key in keys if f"| `{key}` |" not in text] == []
    assert [name for name in TYPES if f"`{name}`" not in text] == []


def test_the_schema_is_printed_as_json():
    command = [sys.executable, "-m", "nfbench.config_docs", "--schema"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    schema = json.loads(done.stdout)
    assert {"experiment", "flows", "samplers"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
