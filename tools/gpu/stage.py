#!/usr/bin/env python
"""Run one stage on a GPU machine that is at hand for minutes: parts with limits; none stops the others.

    python tools/gpu/stage.py smoke --out OUT      the GPU's tests, launches and floors, training steps: 280 s
    python tools/gpu/stage.py speed --out OUT      the paper's sizes, the most telling first: 250 s
    python tools/gpu/stage.py train --out OUT      Fashion-MNIST at 28x28: a flow and a BiFlow reverse: 250 s
    python tools/gpu/stage.py rehearse --out OUT   all three on a CPU with tiny sizes: a minute

Before, on a machine with a network: tools/gpu/prepare.py. All that must come back is in OUT: 2, 5 and at most
8 files, of which STAGE.md says how each part ended. While the machine is held, what a stage has learned and
begun is kept in its temporary folder: call `speed` or `train` again, with another OUT, to go on. Exit status:
0, or 1 where a part failed or the machine lacks something, which is said before anything runs.
"""

import argparse
import csv
import hashlib
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
HERE = Path(__file__).parent
CARRIED = ROOT / ".gpu"
KEPT = Path(tempfile.gettempdir()) / "nfbench_gpu"  # lasts as long as the machine is held
SECONDS = {"smoke": 280, "speed": 250, "train": 250, "rehearse": 100}
GUESSED_MS = {"flow": 12.0, "biflow": 16.0}  # a training step, where the stage smoke has not timed it
SHARE = {"flow": 0.4, "biflow": 0.6}  # of the time for training
OVERHEAD = 100  # seconds of the stage train beside training: starts, compiling, evaluations, packing
SAMPLERS = ["real", "real+noise", "class-means", "sequential-static", "sequential-static+denoise", "biflow"]
CALL_AGAIN = 75  # exit status of tools/preemptible.py where the time was up
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
NEEDED = """
import jinja2, matplotlib, pandas, psutil, pydantic, pytest_benchmark, safetensors, scipy, sklearn, snakemake
import tabulate, torch, torchvision, yaml
assert torch.cuda.is_available(), "torch finds no GPU"
print(torch.cuda.get_device_name(), "torch", torch.__version__)
"""


class Stage:
    """Runs parts one after the other until the time is up, and writes a log and a summary.

    Attributes:
        out: for what must come back.
        work: for what later stages go on from.
        end: when the time is up, by time.monotonic().
        failed: whether a part ended as none should.
    """

    def __init__(self, name: str, out: Path, work: Path, seconds: float):
        self.name, self.out, self.work, self.end = name, out, work, time.monotonic() + seconds
        self.parts: list[tuple[str, str, float]] = []
        self.failed = False
        for folder in (out, work):
            folder.mkdir(parents=True, exist_ok=True)
        self.log = out / f"{name}.log"
        self.log.write_text("")

    @property
    def left(self) -> float:
        """Seconds until the time is up."""
        return self.end - time.monotonic()

    def part(self, title: str, seconds: float, *command: str | Path, cut: bool = False) -> bool:
        """Run a command for at most some seconds; return whether it succeeded.

        Args:
            cut: whether it is of use also where its time is up.
        """
        begun, most, status = time.monotonic(), min(seconds, self.left), None
        if most >= 3:
            with self.log.open("a") as log:
                log.write(f"\n==== {title}, at most {most:.0f} s: {' '.join(map(str, command))}\n")
                log.flush()
                status = ended(command, log, most, signal.SIGTERM if cut else signal.SIGINT)
        expected = (0, CALL_AGAIN, None) if cut else (0,)
        words = {0: "ok", CALL_AGAIN: "unfinished", None: "time is up"}.get(status, f"exit status {status}")
        self.failed |= most >= 3 and status not in expected
        self.parts.append((title, words if most >= 3 else "no time left", time.monotonic() - begun))
        print(f"{self.name}: {title}: {self.parts[-1][1]}, {self.parts[-1][2]:.0f} s", flush=True)
        self.summarise()
        return status == 0

    def summarise(self) -> None:
        """Write what is known so far, so that a stage that is cut off has a summary."""
        log = self.log.read_text(errors="replace")
        lines = [f"# {self.name}, commit {os.environ.get('NFBENCH_COMMIT', 'of the checkout')}", ""]
        lines += [f"- {title}: {status}, {seconds:.0f} s" for title, status, seconds in self.parts]
        telling = (
            r"^(?:FAILED|ERROR|E  |\w*Error:|preemptible:|failed:).*$|^.*\d+ (?:passed|skipped|failed).*$"
        )
        lines += ["", *re.findall(telling, log, re.MULTILINE)[-30:]]
        for path in sorted(self.work.glob("floor.md")):
            lines += ["", *path.read_text().splitlines()]
        for path in sorted(self.work.glob("training-*.json")):
            lines += ["", *(f"{name}: {json.dumps(found)}" for name, found in trainings(path).items())]
        for path in sorted(self.out.glob("results/*/measurements.csv")):
            columns = ("sampler", "precision", "batch_size", "guidance", "metric", "value", "flag")
            lines += ["", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
            lines += [f"| {' | '.join(row[column] for column in columns)} |" for row in timings(path)]
        (self.out / f"{self.name}.md").write_text("\n".join(line[:400] for line in lines) + "\n")


def ended(command: tuple, log: object, seconds: float, number: int) -> int | None:
    """Run a command to its end and return its exit status; None where it and its children were ended.

    Args:
        number: the signal that ends it: after SIGINT pytest says what had failed, at SIGTERM a run is packed.
    """
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        return process.wait(seconds)
    except BaseException as error:
        if not isinstance(error, subprocess.TimeoutExpired):  # this stage itself is ended
            os.killpg(process.pid, signal.SIGKILL)
            raise
        os.killpg(process.pid, number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return None


def trainings(path: Path) -> dict[str, dict]:
    """Read the notes of tests/speed/test_training.py, by cell."""
    if not path.is_file() or not path.read_text().strip():
        return {}
    return {each["name"]: each["extra_info"] for each in json.loads(path.read_text())["benchmarks"]}


def timings(path: Path) -> list[dict[str, str]]:
    """Return the measurement rows of times and utilisations."""
    with path.open() as file:
        return [row for row in csv.DictReader(file) if row["metric"] in ("ms_per_image", "utilisation")]


def install() -> str | None:
    """Use what was carried: wheels, data and commit; return what is wrong with it, or None."""
    paths = [str(KEPT / "site"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1"}
    if not CARRIED.is_dir():
        return None  # a machine that lacks nothing
    if not (CARRIED / "commit.json").is_file():
        return f"{CARRIED} is not what this version's tools/gpu/prepare.py gathers; call that again."
    carried = json.loads((CARRIED / "commit.json").read_text())
    for name, digest in carried["files"].items():
        path = ROOT / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return f"{name} has changed since tools/gpu/prepare.py was called; commit it and call that again."
    os.environ |= {"NFBENCH_COMMIT": carried["commit"], "XDG_CACHE_HOME": str(CARRIED / "cache")}
    wheels, done = sorted(map(str, (CARRIED / "wheels").glob("*.whl"))), KEPT / "site/installed.json"
    if done.is_file() and json.loads(done.read_text()) == wheels:
        return None
    pip = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--upgrade", "--target"]
    command = [sys.executable, *pip, str(KEPT / "site"), *wheels]
    tried = subprocess.run(command, capture_output=True, text=True)
    if tried.returncode:
        return f"the wheels cannot be installed: {tried.stderr.strip()[-500:]}"
    done.write_text(json.dumps(wheels))
    return None


def smoke(stage: Stage) -> None:
    """Run what only a GPU shows, then time training steps; what compiles comes last."""
    tests = [path for path in sorted(ROOT.glob("tests/**/test_*.py")) if "mark.gpu" in path.read_text()]
    stage.part("tests", 60, *PYTEST, "-m", "gpu", "-k", "not compile", *tests)
    for model in ("flow", "biflow"):
        training_step(stage, "not fashion14", model)
    floor(stage, "config/paper-speed.yaml")
    stage.part("compiled tests", 60, *PYTEST, "-m", "gpu", "-k", "compile", *tests)


def floor(stage: Stage, config: str, *options: str) -> None:
    """Count kernels, and compare with the memory's floor."""
    found = [config, stage.work / "floor.md", *options]
    stage.part("floor", 60, sys.executable, HERE / "floor.py", *found, cut=True)


def training_step(stage: Stage, experiment: str, model: str, *options: str) -> None:
    """Time a training step of a flow or a reverse, beside the published one."""
    found = stage.work / f"training-{model}.json"
    timed = ["tests/speed/test_training.py", "--benchmark-only", f"--benchmark-json={found}", "--seconds=1"]
    chosen = ["-k", f"{experiment} and {'biflow' if model == 'biflow' else 'not biflow'}"]
    stage.part(f"training step, {model}", 90, *PYTEST, *timed, *chosen, *options)


def speed(stage: Stage, config: str = "config/paper-speed.yaml", *options: str) -> None:
    """Time the samplers; a second call on the same machine goes on where the first one stopped."""
    known = stage.work / "speed.csv"
    timed = [config, stage.out, f"--seconds={stage.left - 25:.0f}", f"--known={known}", *options]
    stage.part("speed", stage.left, sys.executable, HERE / "speed.py", *timed, cut=True)


def train(stage: Stage, config: str = "config/fashion.yaml", pack: Path | None = None) -> None:
    """Train a flow and BiFlow's reverse with as many steps as fit, and pack; go on from a pack that is given.

    The experiment is called after its file, NAME-short, since its steps are others than NAME's.
    """
    run, short = stage.work / "run", stage.work / f"{Path(config).stem}-short.yaml"
    unpack = []
    if pack is not None and not (run / "results" / short.stem).exists():
        short.write_text((pack / short.name).read_text())
        unpack = ["--unpack", pack / "pack"]
    if not short.is_file():
        short.write_text(fitted(ROOT / config, stage.left - OVERHEAD, stage.work))
    (stage.out / short.name).write_text(short.read_text())
    command = [sys.executable, ROOT / "tools/preemptible.py", short, "--directory", run, *unpack]
    command += ["--minutes", f"{(stage.left - 5) / 60:.2f}", "--reserve", "20", "--pack", stage.out / "pack"]
    target = f"results/{short.stem}/reverses/biflow/seed0.safetensors"
    stage.part("train", stage.left, *command, "--targets", target, cut=True)


def fitted(config: Path, seconds: float, work: Path) -> str:
    """Return an experiment of a flow, a reverse and one seed, with the steps that fit into the time.

    The other reverses and the timings are left out, so that the rest, sample sets and their quality, can be
    made in minutes on a CPU.
    """
    import yaml

    values, ms = yaml.safe_load(config.read_text()), dict(GUESSED_MS)
    flow, reverse = next(iter(values["flows"].values())), values["reverses"]["biflow"]
    for model in ms:
        for found in trainings(work / f"training-{model}.json").values():
            ms[model] = 1e3 * flow["training"]["batch_size"] / found["images_per_second"]["muon"]
    for model, training in (("flow", flow["training"]), ("biflow", reverse["training"])):
        steps = int(max(30.0, seconds) * SHARE[model] / (ms[model] / 1e3))
        training["steps"] = min(training["steps"], max(200, steps // 100 * 100))
        training["evaluate_every"] = max(20, training["steps"] // 10)
        training["warmup_steps"] = min(training["warmup_steps"], training["steps"] // 10)
    if any(not trainings(work / f"training-{model}.json") for model in ms):
        values["compile"] = "never"  # as the guesses suppose
    values |= {"seeds": [0], "reverses": {"biflow": reverse}, "samplers": SAMPLERS, "speed": None}
    return yaml.safe_dump(values, sort_keys=False)


def rehearse(stage: Stage) -> None:
    """Run the parts of every stage on the CPU with tiny sizes."""
    narrow = "config/paper-speed-narrow.yaml"
    stage.part("tests", 30, *PYTEST, "tests/baselines/test_static.py", "-k", "graph and clip")
    floor(stage, narrow, "--device=cpu")
    training_step(stage, "fashion14", "flow", "--seconds=0.1", "--min-calls=2")
    speed(stage, narrow, "--device=cpu", "--cell=0.1", "--first=2")
    train(stage, "config/tiny.yaml")


def main() -> int:
    """Run a stage; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=sorted(SECONDS))
    parser.add_argument("--out", type=Path, required=True, help="folder for what must come back")
    parser.add_argument("--seconds", type=float, help="for the whole stage (default: as above)")
    parser.add_argument("--resume", type=Path, help="OUT of an earlier stage train, to go on from")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # parts inherit it; a shell may have it ignored
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    out, name = options.out.resolve(), options.stage
    wrong = None
    if (out / f"{name}.log").exists():
        wrong = f"{out} has a stage {name} already; name another folder."
    elif options.resume and name != "train":
        wrong = "--resume is for the stage train."
    elif options.resume and not (options.resume / "pack/manifest.json").is_file():
        wrong = f"{options.resume} has no pack/manifest.json; --resume takes what a stage train brought back."
    wrong = wrong or (install() if name != "rehearse" else None)
    if wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as rehearsed:
        work = Path(rehearsed) if name == "rehearse" else KEPT
        stage = Stage(name, out, work, options.seconds or SECONDS[name])
        if name == "rehearse" or stage.part("check", 120, sys.executable, "-c", NEEDED):
            pack = {"pack": options.resume.resolve()} if options.resume else {}
            {"smoke": smoke, "speed": speed, "train": train, "rehearse": rehearse}[name](stage, **pack)
        print((out / f"{name}.md").read_text())
    return int(stage.failed)


if __name__ == "__main__":
    sys.exit(main())
