"""Join every measurement of an experiment into one long table."""

import yaml

from nfbench.files import atomic_path
from nfbench.measurements import THIS_RUN, join_rows, write_frame
from nfbench.script import script

with script(snakemake.log[0]) as report:
    rows = join_rows(snakemake.input.rows, "results")
    rows = rows.assign(origin=THIS_RUN, experiment=snakemake.wildcards.experiment)
    write_frame(snakemake.output.csv, rows)
    with atomic_path(snakemake.output.experiment) as temporary:
        temporary.write_text(yaml.safe_dump(snakemake.params.experiment, sort_keys=False))
    report(f"{len(rows)} measurements from {len(snakemake.input.rows)} files")
