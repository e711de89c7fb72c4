"""Time every sampler in several processes in random order, one of them against itself."""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from nfbench import rounds
from nfbench.config import ProtocolConfig, build
from nfbench.errors import UserError
from nfbench.files import write_json
from nfbench.job import job
from nfbench.measure import protocol
from nfbench.provenance import config_hash
from nfbench.sample.contestant import contestant, options_in_effect


def command(chosen, out, work):
    """Return the command of one process."""
    options = options_in_effect(chosen["options"], chosen["plan"], chosen["tuning"])
    checkpoint = "--reverse-checkpoint" if chosen["learned"] else "--forward-checkpoint"
    return [
        *(sys.executable, "-m", "pytest", snakemake.input.suite[-1], "-q", "-p", "no:cacheprovider"),
        *("--benchmark-only", f"--benchmark-json={out}"),
        *("--sampler", contestant(chosen["contestant"]).sampler),
        *(checkpoint, chosen["weights"], "--sampler-options", json.dumps(options)),
        *(("--forward-checkpoint", chosen["flow"]) if chosen["flow"] else ()),
        *("--device", snakemake.params.device, "--max-seconds", str(config.seconds)),
        *("--min-rounds", str(config.min_rounds), *(["--work"] if work else [])),
        *(word for size in config.batch_sizes for word in ("--batch-size", str(size))),
        *(word for scale in config.guidance for word in ("--protocol-guidance", str(scale))),
    ]


def measure(entrant, work, report):
    """Run one process and read what it timed."""
    cells = list(itertools.product(sorted(config.batch_sizes), config.guidance))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run.json")
        out.touch()
        chosen = by_name[entrant.removesuffix(rounds.TWIN)]
        done = subprocess.run(command(chosen, out, work), capture_output=True, text=True)
        for line in (done.stdout + done.stderr).splitlines():
            report(line)
        if done.returncode < 0:
            return protocol.killed_run(-done.returncode, cells)
        if done.returncode:
            raise UserError(
                f"the speed suite failed with status {done.returncode} for '{entrant}'; its output is above."
            )
        return protocol.read_run(out, cells)


with job(snakemake.log[0]) as report:
    config = build(ProtocolConfig, snakemake.params.settings)
    by_name = {chosen["contestant"]: chosen for chosen in snakemake.params.contestants}
    twin = config.twin or next(iter(by_name))
    names = protocol.entrants(list(by_name), twin)
    orders = protocol.orders(names, config.processes, config.seed)
    runs, start = [], time.monotonic()
    for round_, order in enumerate(orders):
        for place, entrant in enumerate(order):
            run = measure(entrant, protocol.needs_work(runs, entrant), report)
            runs.append({"round": round_, "place": place, "entrant": entrant} | run)
            disturbed = sum(cell["disturbed"] is not None for cell in run["cells"])
            report(
                f"process {len(runs)} of {len(names) * len(orders)}, {entrant}: {len(run['cells'])} cells,"
                f" {disturbed} disturbed, {len(run['missing'])} missing; {time.monotonic() - start:.0f} s"
            )
    origin = rounds.check_origin(runs, snakemake.output[0])
    found = rounds.repeatability(rounds.twin_ratios(runs, twin, config.batch_sizes, config.guidance))
    report(f"{twin} against itself: {found.in_words() if found else 'not measured'}")
    write_json(
        snakemake.output[0],
        {
            "experiment": snakemake.wildcards.experiment,
            "settings": snakemake.params.settings,
            "config_hash": config_hash(snakemake.params.settings),
            "contestants": list(by_name),
            "twin": twin,
            "orders": orders,
            "repeatability": asdict(found) if found else None,
            "provenance": origin,
            "runs": runs,
        },
    )
