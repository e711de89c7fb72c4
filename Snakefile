# BiFlow Bench: data -> forward flow -> reverse model -> sample -> measure -> report
from snakemake.utils import min_version

min_version("9.0")

# Snakemake merges config files, so the default is read only where the command line names none.
if not workflow.configfiles:

    configfile: f"{workflow.basedir}/config/fashion14.yaml"


report: "workflow/report/workflow.rst"


if "sizes" in config:  # an experiment that times networks of named sizes, and has nothing else

    include: "workflow/rules/paper_speed.smk"

    localrules:
        all,

    rule all:
        """The table of speeds."""
        default_target: True
        input:
            rules.paper_speed.input,

else:

    include: "workflow/rules/checks.smk"
    include: "workflow/rules/common.smk"
    include: "workflow/rules/inputs.smk"
    include: "workflow/rules/data.smk"
    include: "workflow/rules/forward.smk"
    include: "workflow/rules/reverse.smk"
    include: "workflow/rules/sample.smk"
    include: "workflow/rules/measure.smk"
    include: "workflow/rules/report.smk"
    include: "workflow/rules/comparisons.smk"
    include: "workflow/rules/budget.smk"

    localrules:
        all,

    rule all:
        """Every table and figure of the configured experiments."""
        default_target: True
        input:
            "results/table1.csv",
            "results/table1.md",
            all_figures(),
            editing_tables(JOINED),
