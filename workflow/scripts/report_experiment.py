"""Write the tables, charts and page of one experiment."""

from pathlib import Path

from nfbench.report.cells import read_measured
from nfbench.report.figures.charts import draw_charts
from nfbench.report.page import experiment_sections, write_page
from nfbench.report.table_specs import read_specs
from nfbench.report.tables import make
from nfbench.script import script

with script(snakemake.log[0]) as report:
    given, made, params = snakemake.input, snakemake.output, snakemake.params
    rows, experiments = read_measured([given.measurements])
    (experiment,) = experiments.values()
    specs = read_specs(given.specs)
    tables = {name: make(specs[name], rows, experiments, made.tables) for name in params.tables}
    report(", ".join(f"{name}: {len(frame)} rows" for name, frame in tables.items()))
    draw_charts(rows, experiment, made.figures)
    figures = {name: Path(given.images).with_name(f"{name}.png") for name in params.images}
    figures |= {name: Path(made.figures, f"{name}.png") for name in params.charts}
    sections = experiment_sections(experiment, tables, specs, figures)
    write_page(made.page, experiment["experiment"], sections)
