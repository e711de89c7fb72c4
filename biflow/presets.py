"""Architectures with a name, in the reference setting of arXiv:2512.10953, and the sizes of networks.

    python -m biflow.presets
    python -m biflow.presets config/fashion14.yaml

The setting is ImageNet at 256 pixels in the 4x32x32 latents of a VAE: patch 2, so T = 256 tokens of D = 16
values, 1000 classes, 8 flow blocks. Of the networks, we could read nothing but the number of parameters,
and that not of every one (see `nfbench.report.paper_numbers`). Width and depth are ours:

- B/2: 768 wide as ViT-B (arXiv:2010.11929), two layers in every block and group. This meets both published
  counts, 120M forward and 133M reverse, within 2%.
- XL/2: twice as wide, three layers in every block and group; 690M forward is met within 1%. No count of
  the reverse model is known to us: it is the one that matches this flow, a group of the same width and
  depth for every block and one that denoises.

Heads are 64 wide. Clip and training noise of the flows are no matter of size and not published either:
`dataclasses.replace(PRESETS["B/2"].flow, clip=..., sigma=...)` sets them.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from baselines.tarflow.model import TarFlow, TarFlowSpec
from baselines.tarflow.training import flow_spec
from biflow.model import ReverseSpec
from biflow.sizes import Size, flow_size, reverse_size
from biflow.training import reverse_spec
from nfbench.config import ExperimentConfig, ReverseConfig, StudentConfig, build, read_experiment
from nfbench.data.datasets import load
from nfbench.errors import UserError
from nfbench.report.paper_numbers import paper_number

SCHEMA = Path(__file__).resolve().parents[1] / "workflow/schemas/config.schema.yaml"


@dataclass(frozen=True)
class Preset:
    """A flow and the reverse model of it.

    Attributes:
        flow_source, reverse_source: ids of the `PaperNumber`s that have the published counts.
    """

    flow: TarFlowSpec
    reverse: ReverseSpec
    flow_source: str
    reverse_source: str


def _preset(width: int, layers: int, flow_source: str, reverse_source: str) -> Preset:
    setting = {
        **{"channels": 4, "image_size": 32, "patch_size": 2, "n_classes": 1000},
        **{"blocks": 8, "width": width, "head_dim": 64},
    }
    return Preset(
        flow=TarFlowSpec(**setting, layers_per_block=layers),
        reverse=ReverseSpec(**setting, layers_per_group=layers),
        flow_source=flow_source,
        reverse_source=reverse_source,
    )


PRESETS = {
    "B/2": _preset(
        width=768,
        layers=2,
        flow_source="biflow-improved-tarflow-b-2-exact-inverse-imagenet256",
        reverse_source="biflow-biflow-b-2-learned-reverse-imagenet256",
    ),
    "XL/2": _preset(
        width=1536,
        layers=3,
        flow_source="biflow-improved-tarflow-xl-2-exact-inverse-imagenet256",
        reverse_source="biflow-xl-2-mse-only-imagenet256",
    ),
}


@dataclass(frozen=True)
class Row:
    """A network of the table; `published` is its number of parameters in millions, if it is known."""

    name: str
    role: str
    size: Size
    published: float | None = None


def preset_rows() -> list[Row]:
    """Return the networks of every preset."""
    rows = []
    for name, preset in PRESETS.items():
        published = (
            paper_number(source).params_millions for source in (preset.flow_source, preset.reverse_source)
        )
        sizes = flow_size(preset.flow), reverse_size(preset.reverse)
        rows += map(Row, (name, name), ("flow", "reverse"), sizes, published)
    return rows


def experiment_rows(path: str | Path) -> list[Row]:
    """Return the flow of an experiment file and its reverse models, one a method.

    The data set is read, since its images size the networks.

    Raises:
        UserError: the file is missing or against its schema, a model cannot be built, or the data set is
            not found.
    """
    if not SCHEMA.is_file():
        raise UserError(f"{SCHEMA} is missing, which describes experiment files; run from a checkout.")
    config = build(ExperimentConfig, read_experiment(path, yaml.safe_load(SCHEMA.read_text())))
    splits = load(**dataclasses.asdict(config.data))
    try:
        spec = flow_spec(config.forward, splits)
        with torch.device("meta"):
            flow = TarFlow(spec)
        sizes = {name: _learned_size(name, model, flow) for name, model in config.reverse.items()}
    except ValueError as error:
        raise UserError(f"{path}: {error}; change one of them.") from None
    rows = [Row(config.experiment, "flow", flow_size(spec))]
    return rows + [Row(name, "reverse", size) for name, size in sizes.items()]


def _learned_size(method: str, config: ReverseConfig | StudentConfig, flow: TarFlow) -> Size:
    """Return the size of a learned reverse; a student's is its flow's, and its one pass costs as much."""
    if isinstance(config, StudentConfig):
        return dataclasses.replace(flow_size(flow.spec), inverse_flops=None)
    return reverse_size(reverse_spec(config, flow, method))


def size_table(rows: Sequence[Row]) -> str:
    """Return the networks as Markdown; columns without an entry are left out."""
    cells = [_cells(row) for row in rows]
    columns = [column for column in cells[0] if any(each[column] for each in cells)]
    lines = [columns, ["---"] * 2 + ["---:"] * (len(columns) - 2)]
    lines += [[each[column] for column in columns] for each in cells]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"{table}\n\n"
        "Layers: blocks x layers of a flow, groups x layers of a reverse model. Parameters in millions.\n"
        "GFLOPs: for one image, a multiplication with its addition counted as two, of matrix products\n"
        "alone, causal or not. One pass: a flow's encoding, a reverse model's evaluation. Exact inverse:\n"
        "K (T - 1) serial token steps, without guidance, which doubles them.\n"
    )


def _cells(row: Row) -> dict[str, str]:
    size = row.size
    return {
        "name": row.name,
        "role": row.role,
        "width": str(size.width),
        "layers": f"{size.parts} x {size.layers}",
        "M parameters, training": _short(size.parameters, 1e6),
        "M parameters, sampling": _short(size.sampling_parameters, 1e6),
        "M parameters, published": _short(row.published),
        "GFLOPs, one pass": _short(size.pass_flops, 1e9),
        "GFLOPs, exact inverse": _short(size.inverse_flops, 1e9),
    }


def _short(value: float | None, unit: float = 1.0) -> str:
    return "" if value is None else f"{value / unit:.4g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of the presets, or of an experiment file.

    Raises:
        SystemExit: with status 1 after a `UserError`, whose sentence is shown.
    """
    parser = argparse.ArgumentParser(
        prog="python -m biflow.presets",
        description="Print parameters and FLOPs of the named architectures, or of an experiment's networks.",
    )
    parser.add_argument("file", metavar="CONFIG.yaml", nargs="?", help="an experiment file")
    options = parser.parse_args(arguments)
    try:
        rows = preset_rows() if options.file is None else experiment_rows(options.file)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    sys.stdout.write(size_table(rows))


if __name__ == "__main__":
    main()
