"""Write results/report.html from the tables and figures."""

from pathlib import Path

import pandas as pd

from nfbench.files import atomic_path
from nfbench.job import job
from nfbench.report.experiment_page import (
    claims_section,
    comparison_section,
    editing_block,
    experiment_section,
    figures_section,
    provenance_section,
)
from nfbench.report.page import Section, caption_of, page, paragraph
from nfbench.report.tables import read_table

INTRODUCTION = (
    "A normalizing flow draws an image by inverting itself. TARFlow's exact inverse (arXiv:2412.06329) "
    "decodes token by token; BiFlow (arXiv:2512.10953) trains a second network to undo the frozen flow in one"
    " evaluation. This page compares the samplers at equal noise, labels, number of images and pipeline,"
    " beside what real images score."
)
COMPARISONS = {
    "table2": "Which objective trains the reverse model best?",
    "table3": "What do the parts of BiFlow contribute?",
}


def words_below(csv):
    """Return the verdicts in words, which stand under the table's Markdown."""
    lines = Path(csv).with_suffix(".md").read_text().splitlines()
    return [line.removeprefix("- ") for line in lines if line.startswith("- ")]


def compared(extras):
    """Yield the sections of tables 2 and 3, where they are."""
    for name, title in COMPARISONS.items():
        if name in extras:
            source = f"From `{extras[name]}`"
            rows = read_table(extras[name])
            device = ", ".join(rows["device"].dropna().unique())
            yield comparison_section(title, rows, words_below(extras[name]), f"{source}, {device}.")


def pictured(extras, captions, experiment):
    """Yield the sections of guidance, budget and editing, where they are."""
    if "guidance" in extras:
        figure = (Path(extras["guidance"]), caption_of(captions / "guidance.rst", experiment))
        yield figures_section("Guidance", "Quality and label accuracy against the scale.", [figure])
    if "budget" in extras:
        figure = (Path(extras["budget"]), caption_of(captions / "budget.rst", experiment))
        yield figures_section("What training time buys", "One seed; curves of averaged weights.", [figure])


with job(snakemake.log[0]) as report:
    extras, captions = snakemake.params.extras, Path(snakemake.params.captions)
    rows = read_table(snakemake.input.table)
    sections = [Section("What is compared", [paragraph(INTRODUCTION)])]
    for experiment, of_experiment in rows.groupby("experiment", sort=False):
        figures = {
            Path(f).stem: Path(f) for f in snakemake.input.figures if Path(f).parent.name == experiment
        }
        sections.append(experiment_section(of_experiment, figures, captions))
    sections += [*compared(extras), *pictured(extras, captions, snakemake.params.ablated)]
    edited = [*snakemake.input.editing, *([extras["editing"]] if "editing" in extras else [])]
    if edited:
        sections.append(
            Section("Uses without training", [editing_block(pd.read_csv(path)) for path in edited])
        )
    sections.append(claims_section(pd.read_csv(snakemake.input.claims), snakemake.input.claims))
    sources = {"table1": snakemake.input.table, "claims": snakemake.input.claims} | extras
    sections.append(provenance_section(rows, sources))
    with atomic_path(snakemake.output[0]) as temporary:
        temporary.write_text(page("Samplers of normalizing flows, measured", sections))
    report(f"{len(sections)} sections")
