"""Write results/report.html from the joined tables, the claims and the figures."""

from pathlib import Path

import pandas as pd
import yaml

from nfbench.report.page import summary_sections, write_page
from nfbench.report.table_specs import read_specs
from nfbench.script import script


def pictures(experiment, kind):
    """Return the figures of an experiment: "images" or charts, "figures"."""
    return sorted(Path("results", experiment, "report", kind).glob("*.png"))


with script(snakemake.log[0]) as report:
    given = snakemake.input
    specs = read_specs(given.specs)
    tables = {name: pd.read_csv(path) for name, path in zip(specs, given.tables, strict=True)}
    experiments = {
        path.parent.name: yaml.safe_load(path.read_text()) for path in map(Path, given.experiments)
    }
    figures = {
        name: {path.stem: path for kind in ("images", "figures") for path in pictures(name, kind)}
        for name in experiments
    }
    sections = summary_sections(experiments, tables, specs, figures, pd.read_csv(given.claims))
    write_page(snakemake.output[0], "Samplers of normalizing flows, measured", sections)
    report(f"{len(sections)} sections")
