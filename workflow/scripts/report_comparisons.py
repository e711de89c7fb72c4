"""Compare the objectives or the ablations over seeds, with the paper's numbers beside ours."""

from pathlib import Path

import pandas as pd

from nfbench.files import read_json
from nfbench.job import job
from nfbench.report.ablations import Arm, Published, comparison_table, in_words, pairs, verdict_table
from nfbench.report.paper_numbers import read_paper_numbers
from nfbench.report.tables import Floors, write_csv, write_markdown
from nfbench.sample.contestant import contestant


def in_folder(paths, name):
    """Return the files that lie in a contestant's folder, one a seed."""
    return [path for path in paths if Path(path).parent.name == name]


def published(identifier):
    """Return a published number by its id, None for none."""
    return Published(identifier, NUMBERS[identifier].fid) if identifier else None


def reconstruction(name):
    """Return the last validation error of the model that a contestant draws from, one a seed."""
    curves = snakemake.input.curves
    own = in_folder(curves, contestant(name).drawn) or in_folder(curves, contestant(name).method)
    return [float(pd.read_csv(path)["validation_reconstruction_mse"].iloc[-1]) for path in own]


def arm(row):
    """Read what was measured of one contestant."""
    name = row["contestant"]
    quality = [read_json(path) for path in in_folder(snakemake.input.quality, name)]
    numbers = published(row["paper"]), published(row["paper_base"])
    return Arm(name, row["described"], quality, reconstruction(name), *numbers)


with job(snakemake.log[0]) as report:
    NUMBERS = read_paper_numbers()
    arms = [arm(row) for row in snakemake.params.rows]
    base = next(arm for arm in arms if arm.contestant == snakemake.params.base)
    floors = Floors(
        *(
            [read_json(path) for path in in_folder(snakemake.input.floors, name)]
            for name in ("floor", "floor-noisy")
        )
    )
    table = comparison_table(snakemake.params.experiment, int(snakemake.wildcards.table), arms, base, floors)
    verdicts = verdict_table(pairs(arms, base))
    words = in_words(verdicts)
    write_csv(snakemake.output.csv, table)
    write_csv(snakemake.output.verdicts, verdicts)
    write_markdown(snakemake.output.markdown, table, words)
    for line in words:
        report(line)
