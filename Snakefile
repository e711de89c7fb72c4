# BiFlow Bench: data -> flow -> reverse -> samples -> measurements -> tables and figures
from snakemake.utils import min_version

min_version("9.0")

# Snakemake merges config files, so the default is read only where the command line names none.
if not workflow.configfiles:

    configfile: f"{workflow.basedir}/config/fashion14.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/functions.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/report.smk"


localrules:
    all,


onsuccess:
    if times := where_time_went(Path(".snakemake/metadata"), STARTED, time.time()):
        print(times)


# Not in an included file: an include leaves the default target as it was.
rule all:
    """Every table and figure of the configured experiments."""
    default_target: True
    input:
        rules.report_tables.output,
        rules.report_page.output,
        expand("results/{experiment}/report/report.html", experiment=ACTIVE.joined),
