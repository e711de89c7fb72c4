"""What a paper prints of each table: columns, headings, and which direction is better."""

from dataclasses import dataclass
from typing import Literal

from nfbench.report.spaces import space_of


@dataclass(frozen=True)
class Column:
    """A column as it is printed; `better` is its direction, None where no value is better than another."""

    name: str
    heading: str
    better: Literal["lower", "higher"] | None = None

    @property
    def space(self) -> str:
        """The feature space that a column judges in, e.g. "effnet" of kid_effnet."""
        return space_of(self.name)


@dataclass(frozen=True)
class Layout:
    """What is printed of a table, and within which rows values are compared."""

    within: tuple[str, ...]
    columns: tuple[Column, ...]


_DISTANCES = (
    Column("fd_effnet", "FD EfficientNet", "lower"),
    Column("kid_effnet", "KID EfficientNet", "lower"),
    Column("fd_classifier", "FD classifier", "lower"),
    Column("label_accuracy", "Label accuracy", "higher"),
)
_COMPARED = (
    *_DISTANCES,
    Column("params_millions", "Parameters (M)"),
    Column("paper_fid", "FID in the paper"),
)
# The one place that says which direction is better.
LAYOUTS = {
    "table1": Layout(
        ("experiment",),
        (
            *(
                Column("experiment", "Experiment"),
                Column("sampler", "Sampler"),
                Column("variant", "Threshold"),
            ),
            *(Column("nfe", "NFE", "lower"), *_DISTANCES),
            Column("inversion_mse", "Inversion MSE", "lower"),
            Column("reconstruction_mse", "Reconstruction MSE", "lower"),
            Column("ms_per_image_batch1", "ms/image, batch 1", "lower"),
            Column("images_per_second_batch64", "images/s, batch 64", "higher"),
        ),
    ),
    "table2": Layout(("experiment",), (Column("title", "Objective"), *_COMPARED)),
    "table3": Layout(("experiment",), (Column("factor", "Factor"), Column("change", "Change"), *_COMPARED)),
    "table4": Layout(
        # what papers printed, which `paper_id` tells apart, is compared with nothing
        ("paper_id", "experiment", "device", "output", "guidance", "batch_size"),
        (
            *(Column("source", "Source"), Column("experiment", "Experiment"), Column("device", "Device")),
            *(Column("guidance", "Guidance"), Column("batch_size", "Batch"), Column("sampler", "Sampler")),
            Column("variant", "Threshold"),
            Column("ms_per_image", "ms/image", "lower"),
            Column("images_per_second", "images/s", "higher"),
            Column("speedup", "Speed-up", "higher"),
        ),
    ),
    "claims": Layout(
        (),
        (
            *(Column("paper", "Paper"), Column("claim", "Claim"), Column("paper_number", "Printed")),
            *(Column("measured", "Here"), Column("seeds", "Seeds"), Column("device", "Device")),
            Column("verdict", "Verdict"),
        ),
    ),
}
