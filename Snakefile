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

    include: "workflow/rules/experiment.smk"

    localrules:
        all,

    # Not in the included file: an include leaves the default target as it was.
    rule all:
        """Every table and figure of the configured experiments."""
        default_target: True
        input:
            "results/table1.csv",
            "results/table1.md",
            "results/report.html",
            all_figures(),
            editing_tables(JOINED),
