"""Sizes of an experiment's networks; by default those of arXiv:2512.10953's reference setting.

    python -m biflow.presets
    python -m biflow.presets config/fashion14.yaml

The reference setting, in config/paper-speed.yaml, is ImageNet at 256 pixels in the 4x32x32 latents of a VAE,
with patch size 2: T = 256 tokens of D = 16 values, 1000 classes, 8 flow blocks. Only numbers of parameters
are published, and not all of them (see `nfbench.report.paper_numbers`). Width and depth are our choice:

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

import pandas as pd

from biflow.recipes import spec_of
from biflow.sizes import Size, network_size
from nfbench.data.datasets import load_section
from nfbench.errors import UserError
from nfbench.experiment import load_experiment
from nfbench.report.paper_numbers import paper_number

REFERENCE = Path(__file__).resolve().parents[1] / "config/paper-speed.yaml"
PUBLISHED = {  # ids of the `PaperNumber`s with the counts of its networks
    "B": "biflow-improved-tarflow-b-2-exact-inverse-imagenet256",
    "XL": "biflow-improved-tarflow-xl-2-exact-inverse-imagenet256",
    "biflow-B": "biflow-biflow-b-2-learned-reverse-imagenet256",
}


@dataclass(frozen=True)
class Row:
    """A row of the table; `published` is the number of parameters in millions, None where unknown."""

    name: str
    role: str
    size: Size
    published: float | None = None


def network_rows(path: str | Path = REFERENCE) -> list[Row]:
    """Return the flows of an experiment file and its reverses.

    Raises:
        UserError: the file is missing or wrong, a model cannot be built, or the data set is not found.
    """
    experiment = load_experiment(path)
    flows = experiment.flows
    sized_by_data = any(flow.shape is None for flow in flows.values())
    splits = load_section(experiment.data.model_dump()) if sized_by_data else None
    published = PUBLISHED if Path(path) == REFERENCE else {}
    try:
        specs = {(name, "flow"): spec_of(flow, splits) for name, flow in flows.items()}
        for name, reverse in experiment.reverses.items():
            specs[name, "reverse"] = spec_of(flows[reverse.flow], splits, reverse)
    except ValueError as error:
        raise UserError(f"{path}: {error}; change one of them.") from None
    counts = {name: paper_number(number).params_millions for name, number in published.items()}
    return [Row(*key, network_size(spec), counts.get(key[0])) for key, spec in specs.items()]


def size_table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown; columns without an entry are left out."""
    table = pd.DataFrame([_cells(row) for row in rows])
    table = table.loc[:, table.ne("").any()]
    sides = ["left"] * 2 + ["right"] * (table.shape[1] - 2)
    return (
        f"{table.to_markdown(index=False, disable_numparse=True, colalign=sides)}\n\n"
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
    return f"{value / unit:.4g}" if value else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of an experiment file.

    Raises:
        SystemExit: with the sentence of a `UserError`.
    """
    parser = argparse.ArgumentParser(
        prog="python -m biflow.presets",
        description="Print parameters and FLOPs of the paper's networks, or of an experiment's.",
    )
    parser.add_argument(
        "file", metavar="CONFIG.yaml", nargs="?", default=REFERENCE, help="an experiment file"
    )
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(size_table(network_rows(options.file)))
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
