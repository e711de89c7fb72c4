"""Write the tables, charts and page of one experiment."""

from pathlib import Path

import yaml

from nfbench.measurements import THIS_RUN, read_rows
from nfbench.report.figures.charts import draw_charts
from nfbench.report.page import experiment_sections, write_page
from nfbench.report.table_specs import read_specs
from nfbench.report.tables import build, verdicts, write
from nfbench.script import script

with script(snakemake.log[0]) as report:
    given, made, params = snakemake.input, snakemake.output, snakemake.params
    rows = read_rows(given.measurements)
    experiment = yaml.safe_load(Path(given.experiment).read_text())
    experiments = {(THIS_RUN, experiment["experiment"]): experiment}
    specs, tables = read_specs(given.specs), {}
    for name in params.tables:
        tables[name] = build(specs[name], rows, experiments)
        pairs = verdicts(specs[name], rows, experiments) if specs[name].verdicts else None
        write(tables[name], specs[name], made.tables, pairs)
        report(f"{name}: {len(tables[name])} rows")
    draw_charts(rows, experiment, made.figures)
    figures = {name: Path(given.images).with_name(f"{name}.png") for name in params.images}
    figures |= {name: Path(made.figures, f"{name}.png") for name in params.charts}
    sections = experiment_sections(experiment, tables, specs, figures)
    write_page(made.page, experiment["experiment"], sections)
