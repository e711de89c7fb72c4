"""Collect everything measured of one experiment, one row a sampler."""

import biflow  # noqa: F401, registers the learned reverses
from nfbench.files import read_json
from nfbench.job import job
from nfbench.measure.speed import read_benchmark_json
from nfbench.report.tables import Floors, Measured, table, write_csv


def of_sampler(paths, name):
    """Return the measurements whose file lies in the sampler's folder, one a seed."""
    return [read_json(path) for path in paths if path.split("/")[-2] == name]


with job(snakemake.log[0]) as report:
    given = snakemake.input
    measured = [
        Measured(
            contestant=name,
            quality=of_sampler(given.quality, name),
            # Denoising adds nothing to an error of inversion, which is taken before it; of a
            # reconstruction both errors are in one file.
            inversion=of_sampler(given.inversion, name.removesuffix("+denoise")),
            reconstruction=of_sampler(given.reconstruction, name.removesuffix("+denoise")),
            speed=read_benchmark_json(speed),
        )
        for name, speed in zip(snakemake.params.samplers, given.speed, strict=True)
    ]
    floors = Floors(*(of_sampler(given.floors, name) for name in ("floor", "floor-noisy", "class-means")))
    likelihood = [read_json(path) for path in given.likelihood]
    write_csv(snakemake.output.csv, table(snakemake.wildcards.experiment, measured, floors, likelihood))
