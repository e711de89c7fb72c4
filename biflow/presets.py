"""Named architectures of arXiv:2512.10953's reference setting, and the sizes of an experiment's networks.

    python -m biflow.presets
    python -m biflow.presets config/fashion14.yaml

The setting is ImageNet at 256 pixels in the 4x32x32 latents of a VAE, with patch size 2: T = 256 tokens of
D = 16 values, 1000 classes, 8 flow blocks. Only numbers of parameters are published, and not all of them
(see `nfbench.report.paper_numbers`). Width and depth are our choice:

- B/2: width 768 as ViT-B (arXiv:2010.11929), two layers per block and stage. Both published counts, 120M
  forward and 133M reverse, are met within 2%.
- XL/2: twice the width, three layers per block and stage. 690M forward is met within 1%. The count of the
  reverse model is not published; ours has a stage like each block of the flow and one that denoises.

Heads are 64 wide. Clip and training noise of the flows are not published and do not change the size.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from baselines.tarflow.model import TarFlowSpec
from biflow.model import ReverseSpec
from biflow.recipes import spec_of
from biflow.sizes import Size, network_size
from nfbench.data.datasets import load_section
from nfbench.errors import UserError
from nfbench.experiment import load_experiment
from nfbench.report.paper_numbers import paper_number


@dataclass(frozen=True)
class Preset:
    """A flow and its reverse model.

    Attributes:
        flow_source, reverse_source: ids of the `PaperNumber`s with the published counts.
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
        reverse=ReverseSpec(**setting, layers_per_stage=layers),
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
    """A row of the table; `published` is the number of parameters in millions, None where unknown."""

    name: str
    role: str
    size: Size
    published: float | None = None


def preset_rows() -> list[Row]:
    """Return the networks of every preset."""
    rows = []
    for name, preset in PRESETS.items():
        flow, reverse = paper_number(preset.flow_source), paper_number(preset.reverse_source)
        rows.append(Row(name, "flow", network_size(preset.flow), flow.params_millions))
        rows.append(Row(name, "reverse", network_size(preset.reverse), reverse.params_millions))
    return rows


def experiment_rows(path: str | Path) -> list[Row]:
    """Return the flows of an experiment file and its reverses.

    Raises:
        UserError: the file is missing or wrong, a model cannot be built, or the data set is not found.
    """
    experiment = load_experiment(path)
    flows = experiment.flows
    sized_by_data = any(flow.shape is None for flow in flows.values())
    splits = load_section(experiment.data.model_dump()) if sized_by_data else None
    try:
        rows = [Row(name, "flow", network_size(spec_of(flow, splits))) for name, flow in flows.items()]
        for name, reverse in experiment.reverses.items():
            spec = spec_of(flows[reverse.flow], splits, reverse)
            rows.append(Row(name, "reverse", network_size(spec)))
    except ValueError as error:
        raise UserError(f"{path}: {error}; change one of them.") from None
    return rows


def size_table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown; columns without an entry are left out."""
    cells = [_cells(row) for row in rows]
    columns = [column for column in cells[0] if any(each[column] for each in cells)]
    lines = [columns, ["---"] * 2 + ["---:"] * (len(columns) - 2)]
    lines += [[each[column] for column in columns] for each in cells]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"{table}\n\n"
        "Layers: blocks x layers of a flow, stages x layers of a reverse model. Parameters in millions.\n"
        "GFLOPs: of matrix products for one image; a multiplication and an addition count as two. One\n"
        "pass: the encoding of a flow, or one evaluation of a reverse model. Exact inverse: K (T - 1)\n"
        "serial token steps, without guidance, which doubles them.\n"
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
        SystemExit: with the sentence of a `UserError`.
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
