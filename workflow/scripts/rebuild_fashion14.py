"""Rebuild the embedded data set from the original IDX files."""

from nfbench.data.fashion14 import build_fashion14, write_fashion14
from nfbench.job import job

with job(snakemake.log[0]) as report:
    write_fashion14(snakemake.output[0], build_fashion14(snakemake.params.folder))
    report("the arrays equal the embedded ones")
