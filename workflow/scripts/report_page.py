"""Write results/report.html from the joined tables, the claims and the figures."""

from pathlib import Path

import pandas as pd
import yaml

from nfbench.report.page import summary_sections, write_page
from nfbench.report.table_specs import read_specs
from nfbench.script import script

with script(snakemake.log[0]) as report:
    given = snakemake.input
    specs = read_specs(given.specs)
    tables = {name: pd.read_csv(path) for name, path in zip(specs, given.tables, strict=True)}
    experiments = {
        path.parent.name: yaml.safe_load(path.read_text()) for path in map(Path, given.experiments)
    }
    figures = {}
    for folder in map(Path, [*given.images, *given.figures]):
        pictures = {path.stem: path for path in sorted(folder.glob("*.png"))}
        figures.setdefault(folder.parts[-3], {}).update(pictures)
    sections = summary_sections(experiments, tables, specs, figures, pd.read_csv(given.claims))
    write_page(snakemake.output[0], "Samplers of normalizing flows, measured", sections)
    report(f"{len(sections)} sections")
