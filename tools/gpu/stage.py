#!/usr/bin/env python
"""Run one stage on a GPU machine that is at hand for minutes: parts with limits; none stops the others.

    python tools/gpu/stage.py smoke --out OUT      the GPU's tests, launches and floors, training steps: 180 s
    python tools/gpu/stage.py speed --out OUT      the paper's sizes, the most telling first: 280 s
    python tools/gpu/stage.py train --out OUT      Fashion-MNIST at 28x28, samples, a pack to resume: 300 s
    python tools/gpu/stage.py rehearse --out OUT   all three on a CPU with tiny sizes: a minute

Before, on a machine with a network: tools/gpu/prepare.py. What must come back is in OUT: at most 8 files, of
which summary.md says what happened. Exit status: 0, or 1 where a part failed.
"""

import argparse
import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CARRIED = ROOT / ".gpu"
KEPT = Path(tempfile.gettempdir()) / "nfbench_gpu"  # lasts as long as the machine is held
SECONDS = {"smoke": 180, "speed": 280, "train": 300, "rehearse": 100}
GUESSED_MS = {"flow": 12.0, "biflow": 16.0}  # a training step, where the stage smoke has not timed it
SHARE = {"flow": 0.4, "biflow": 0.6}  # of the time for training
OVERHEAD = 90  # seconds of the stage train beside training: starts, evaluations, samples, packing
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
TRAINING = "tests/speed/test_training.py"


class Stage:
    """Runs parts one after the other until the time is up, and writes the log and the summary."""

    def __init__(self, name: str, out: Path, work: Path, seconds: float):
        self.name, self.out, self.work, self.end = name, out, work, time.monotonic() + seconds
        self.parts: list[tuple[str, str, float]] = []
        out.mkdir(parents=True, exist_ok=True)
        (out / "log.txt").write_text("")

    def part(self, title: str, seconds: float, *command: str | Path) -> bool:
        """Run a command for at most some seconds; return whether it succeeded."""
        begun, most = time.monotonic(), min(seconds, self.end - time.monotonic())
        status = "no time left"
        if most >= 3:
            with (self.out / "log.txt").open("a") as log:
                log.write(f"\n==== {title}, at most {most:.0f} s: {' '.join(map(str, command))}\n")
                log.flush()
                status = ended(command, log, most)
        self.parts.append((title, status, time.monotonic() - begun))
        print(f"{self.name}: {title}: {status}, {self.parts[-1][2]:.0f} s", flush=True)
        self.summarise()
        return status == "ok"

    def summarise(self) -> None:
        """Write what is known so far, so that a stage that is cut off has a summary."""
        log = (self.out / "log.txt").read_text(errors="replace")
        lines = [f"# {self.name}, commit {os.environ.get('NFBENCH_COMMIT', 'of the checkout')}", ""]
        lines += [f"- {title}: {status}, {seconds:.0f} s" for title, status, seconds in self.parts]
        lines += [
            "",
            *re.findall(r"^(?:FAILED .*|ERROR .*|E   .*|.*\d+ passed.*|preemptible: .*)$", log, re.M)[-30:],
        ]
        for path in sorted(self.out.glob("floor*.md")):
            lines += ["", *path.read_text().splitlines()]
        for path in sorted(self.out.glob("training*.json")):
            for name, found in trainings(path).items():
                lines.append(f"{path.stem} {name}: {json.dumps(found)}")
        for path in sorted(self.out.glob("results/*/measurements.csv")):
            lines += [
                "",
                "| sampler | precision | batch | w | metric | value | flag |",
                "|---|---|---|---|---|---|---|",
            ]
            lines += [f"| {' | '.join(row)} |" for row in timings(path)]
        (self.out / "summary.md").write_text("\n".join(line[:300] for line in lines) + "\n")


def ended(command: tuple, log: object, seconds: float) -> str:
    """Run a command to its end or for some seconds, children included; say how it ended."""
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        status = process.wait(seconds)
        return "ok" if status == 0 else f"exit status {status}"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return "time is up"


def trainings(path: Path) -> dict[str, dict]:
    """Read the notes of tests/speed/test_training.py, by cell."""
    if not path.read_text().strip():
        return {}
    return {each["name"]: each["extra_info"] for each in json.loads(path.read_text())["benchmarks"]}


def timings(path: Path) -> list[tuple[str, ...]]:
    """Return the times and utilisations of measurement rows, as texts."""
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] in ("ms_per_image", "utilisation")]
    columns = ("sampler", "precision", "batch_size", "guidance", "metric", "value", "flag")
    return [tuple(row[column] for column in columns) for row in rows]


def install() -> None:
    """Put the carried wheels where Python finds them, and tell what came along: the data and the commit."""
    site = KEPT / "site"
    if (CARRIED / "wheels").is_dir() and not (site / "done").is_file():
        wheels = sorted(map(str, (CARRIED / "wheels").glob("*.whl")))
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
        subprocess.run([*pip, "--upgrade", "--target", str(site), *wheels], check=True)
        (site / "done").touch()
    paths = [str(site), str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1"}
    if (CARRIED / "cache").is_dir():
        os.environ["XDG_CACHE_HOME"] = str(CARRIED / "cache")
    if (CARRIED / "commit").is_file():
        os.environ["NFBENCH_COMMIT"] = (CARRIED / "commit").read_text().strip()


def smoke(stage: Stage) -> None:
    """Run what only a GPU shows, then time training steps."""
    here = Path(__file__).parent
    stage.part("tests", 90, *PYTEST, "-m", "gpu", "tests")
    stage.part(
        "floor", 60, sys.executable, here / "floor.py", "config/paper-speed.yaml", stage.out / "floor.md"
    )
    for model, chosen in (("flow", "not biflow"), ("biflow", "biflow")):
        found = stage.out / f"training-{model}.json"
        timed = (
            "--benchmark-only",
            "--seconds=2",
            f"--benchmark-json={found}",
            "-k",
            f"not fashion14 and {chosen}",
        )
        if stage.part(f"training step, {model}", 90, *PYTEST, TRAINING, *timed):
            (stage.work / found.name).write_text(found.read_text())


def speed(stage: Stage, config: str = "config/paper-speed.yaml", *options: str) -> None:
    """Time the samplers."""
    left = stage.end - time.monotonic()
    driver = Path(__file__).with_name("speed.py")
    stage.part(
        "speed", left, sys.executable, driver, config, stage.out, f"--seconds={left - 20:.0f}", *options
    )


def train(stage: Stage, config: str = "config/fashion.yaml", targets: tuple[str, ...] | None = None) -> None:
    """Train, draw samples, and pack; go on from a carried pack where there is one."""
    run, left = stage.work / "run", stage.end - time.monotonic()
    name, carried = Path(config).name, CARRIED / "pack"
    chosen, resumed = stage.out / name, (carried / name).is_file()
    chosen.write_text(
        (carried / name).read_text() if resumed else fitted(ROOT / config, left - OVERHEAD, stage.work)
    )
    results = f"results/{chosen.stem}"
    if targets is None:
        samplers = ("biflow", "sequential-static+denoise", "sequential-static")
        targets = tuple(f"{results}/samples/{sampler}/seed0.npz" for sampler in samplers)
    command = [sys.executable, ROOT / "tools/preemptible.py", chosen, "--directory", run]
    command += ["--minutes", f"{(left - 10) / 60:.2f}", "--reserve", "20", "--pack", stage.out / "pack"]
    if resumed and not run.exists():
        command += ["--unpack", carried / "pack"]
    stage.part("train", left, *command, "--targets", *targets)


def fitted(config: Path, seconds: float, work: Path) -> str:
    """Return an experiment file with the steps that fit a flow and a reverse of one seed into the time."""
    import yaml

    values, ms = yaml.safe_load(config.read_text()), dict(GUESSED_MS)
    for model in ms:
        path = work / f"training-{model}.json"
        for found in trainings(path).values() if path.is_file() else ():
            sizes = {name: entry["training"]["batch_size"] for name, entry in values["flows"].items()}
            ms[model] = 1e3 * next(iter(sizes.values())) / found["images_per_second"]["muon"]
    entries = {"flow": values["flows"].values(), "biflow": values["reverses"].values()}
    for model, each in entries.items():
        steps = int(max(30.0, seconds) * SHARE[model] / (ms[model] / 1e3))
        for training in (entry["training"] for entry in each if "training" in entry):
            training["steps"] = min(training["steps"], max(200, steps // 100 * 100))
            training["evaluate_every"] = max(100, training["steps"] // 10)
            training["warmup_steps"] = min(500, training["steps"] // 10)
    values["seeds"] = [0]
    return yaml.safe_dump(values, sort_keys=False)


def rehearse(stage: Stage) -> None:
    """Run the parts of every stage on the CPU with tiny sizes."""
    narrow, here = "config/paper-speed-narrow.yaml", Path(__file__).parent
    stage.part("tests", 30, *PYTEST, "tests/baselines/test_static.py", "-k", "graph and clip")
    stage.part("floor", 30, sys.executable, here / "floor.py", narrow, stage.out / "floor.md", "--device=cpu")
    speed(stage, narrow, "--device=cpu", "--cell=0.1", "--first=2")
    targets = ("results/tiny/samples/biflow/seed0.npz",)
    train(stage, "config/tiny.yaml", targets)


def main() -> int:
    """Run a stage; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=sorted(SECONDS))
    parser.add_argument("--out", type=Path, required=True, help="folder for what must come back")
    parser.add_argument("--seconds", type=float, help="for the whole stage (defaults above; rehearse: 100)")
    options = parser.parse_args()
    run = {"smoke": smoke, "speed": speed, "train": train, "rehearse": rehearse}[options.stage]
    seconds = options.seconds or SECONDS[options.stage]
    with tempfile.TemporaryDirectory() as rehearsed:
        work = Path(rehearsed) if options.stage == "rehearse" else KEPT
        work.mkdir(exist_ok=True)
        if options.stage != "rehearse":
            install()
        stage = Stage(options.stage, options.out.resolve(), work, seconds)
        run(stage)
    print((stage.out / "summary.md").read_text())
    return int(any(status not in ("ok", "no time left", "time is up") for _, status, _ in stage.parts))


if __name__ == "__main__":
    sys.exit(main())
