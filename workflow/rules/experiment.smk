# Every rule of an experiment that trains, and what all of them lead to.
include: "common.smk"
include: "inputs.smk"
include: "data.smk"
include: "forward.smk"
include: "reverse.smk"
include: "sample.smk"
include: "measure.smk"
include: "report.smk"
include: "comparisons.smk"
include: "budget.smk"
include: "speed.smk"
include: "claims.smk"
include: "page.smk"
include: "keep.smk"


localrules:
    all,


rule all:
    """Every table and figure of the configured experiments."""
    default_target: True
    input:
        "results/table1.csv",
        "results/table1.md",
        "results/report.html",
        all_figures(),
        editing_tables(JOINED),
