"""Documentation of the experiment files, printed from the models of their keys.

python -m nfbench.config_docs            prints docs/config.md
python -m nfbench.config_docs --schema   prints the JSON schema
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from nfbench import config
from nfbench.registry import TYPES

SECTIONS: tuple[type[BaseModel], ...] = (
    *(config.Experiment, config.DataConfig, config.FlowConfig, config.ReverseConfig),
    *(config.TrainingConfig, config.SamplerEntry, config.SamplingConfig, config.QualityConfig),
    *(config.SpeedConfig, config.TuningConfig, config.LikelihoodConfig, config.EditingConfig),
)


def documentation() -> str:
    """Return docs/config.md: every key of an experiment file, and every option of every sampler."""
    parts = ["# Keys of an experiment file", "Printed by `python -m nfbench.config_docs`; do not edit."]
    for model in SECTIONS:
        parts += [f"## {model.__name__.removesuffix('Config')}", model.__doc__.splitlines()[0], _keys(model)]
    parts += [
        "# Options of the samplers",
        "Keys of an item under `samplers`, by its type; a list makes a sweep.",
    ]
    for options in dict.fromkeys(kind.options for kind in TYPES.values()):
        names = ", ".join(f"`{name}`" for name, kind in TYPES.items() if kind.options is options)
        parts += [f"## {names}", _keys(options)]
    return "\n\n".join(parts) + "\n"


def _keys(model: type[BaseModel]) -> str:
    lines = ["| key | default | type | meaning |", "|---|---|---|---|"]
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        default = (
            "required" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
        )
        kind = _kind(properties[name])
        lines.append(f"| `{name}` | {default} | {kind} | {field.description or ''} |")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return json.dumps(value.model_dump() if isinstance(value, BaseModel) else value)


def _kind(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2].removesuffix("Config")
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("type", "any"))


if __name__ == "__main__":
    schema = "--schema" in sys.argv[1:]
    sys.stdout.write(
        json.dumps(config.Experiment.model_json_schema(), indent=2) + "\n" if schema else documentation()
    )
