"""Rebuild the embedded data set from the original IDX files."""

from nfbench.data.fashion14 import CONTENT_SHA256, build_fashion14, content_sha256, write_fashion14
from nfbench.errors import UserError
from nfbench.script import script

with script(snakemake.log[0]) as report:
    arrays = build_fashion14()
    if content_sha256(arrays) != CONTENT_SHA256:
        raise UserError("The arrays differ from the embedded ones: the IDX files are not the published ones.")
    write_fashion14(snakemake.output[0], arrays)
    report("the arrays equal the embedded ones")
