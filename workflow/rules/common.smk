# Functions that the rules share; the rules themselves are in the other files.
import os
import re
import sys
import time
from pathlib import Path

# Lets a checkout run without being installed, its scripts too.
sys.path.insert(0, workflow.basedir)
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [workflow.basedir, os.environ.get("PYTHONPATH")])))

from nfbench.code import fingerprint
from nfbench.errors import UserError
from nfbench.experiment import load_joined
from nfbench.files import sha256_file
from nfbench.registry import own_file, sampler_type
from nfbench.report.figures.catalogue import chart_names, image_names
from nfbench.report.table_specs import applies, read_specs
from nfbench.run_times import where_time_went

ROOT = Path(workflow.basedir)
STARTED = time.time()


def forget_times():
    """Give results that came without Snakemake's records one time, so that the order of a copy says nothing."""
    if workflow.is_main_process and not any(Path(".snakemake").glob("metadata/*")):
        now = time.time()
        for path in Path("results").rglob("*"):
            if path.parts[1] != "reference":
                os.utime(path, (now, now))


def asked_for():
    """Return the experiment of the command line, and all whose rows are joined with its own, by name."""
    if len(workflow.configfiles) > 1:
        raise UserError(
            "two config files are given; name one, and lay it over the other by its key 'base', or change"
            " single keys with --config, e.g. --config seeds=[0,1,2]."
        )
    return load_joined(Path(workflow.configfiles[0]), config, ROOT / "config")


try:
    EXPERIMENTS = asked_for()
    TABLES = read_specs(ROOT / "config/tables.yaml")
except UserError as error:
    sys.exit(f"error: {error}")

forget_times()
ACTIVE = next(iter(EXPERIMENTS.values()))
DATASETS = {e.data.dataset: e.data for e in EXPERIMENTS.values()}


def alternatives(names):
    """Return a wildcard constraint that matches exactly these names."""
    return "|".join(re.escape(name) for name in sorted(set(names))) or "none"


wildcard_constraints:
    experiment=alternatives(EXPERIMENTS),
    dataset=alternatives(DATASETS),
    flow=alternatives(name for e in EXPERIMENTS.values() for name in e.flows),
    model=alternatives(name for e in EXPERIMENTS.values() for name in e.reverses),
    sampler=alternatives(row.name for e in EXPERIMENTS.values() for row in e.samplers),
    space="effnet|classifier|inception|dinov2",
    seed=r"\d+",
    n=r"\d+",


def setting(*keys):
    """Return a params function that looks a value up in the wildcards' experiment, as plain values.

    Rules depend on the values that they name and on no others, so that a changed number of samples does not
    train anything again.
    """

    def look_up(wildcards):
        value = EXPERIMENTS[wildcards.experiment]
        for key in keys:
            value = getattr(value, key)
        return plain(value)

    return look_up


def plain(value):
    """Return a section as plain values with sorted keys, so that their order in the file changes nothing."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    return {key: plain(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


def drawn(row):
    """Return what a row's images, and the time that they take, depend on: not whether and where it is shown."""
    shown = ("title", "factor", "group", "quality", "speed")
    return {key: value for key, value in plain(row).items() if key not in shown}


def code_of(rule_name, *modules):
    """Return the files whose code a job runs: its script, and modules that it loads by name."""
    return [f"workflow/scripts/{rule_name}.py", *modules]


def sampler_modules(row):
    """Return the module or file that implements a row's sampler, and that of denoising."""
    target = sampler_type(row.type).target.partition(":")[0]
    place = own_file(target).resolve() if target.endswith(".py") else target
    return [*([place] if place else []), *(["baselines.tarflow.denoise"] if row.denoise else [])]


def row_of(wildcards):
    return EXPERIMENTS[wildcards.experiment].row(wildcards.sampler)


def training_threads(wildcards):
    """Return the cores of one training: all, since two trainings on the same cores slow each other down."""
    return EXPERIMENTS[wildcards.experiment].threads_per_training or workflow.cores


# --- files ---


def flow_file(experiment, flow, seed):
    return f"results/{experiment}/flows/{flow}/seed{seed}.safetensors"


def reverse_file(experiment, reverse, seed):
    return f"results/{experiment}/reverses/{reverse}/seed{seed}.safetensors"


def classifier_file(experiment):
    return f"results/data/{EXPERIMENTS[experiment].data.dataset}/classifier.safetensors"


def reference_files(experiment):
    e = EXPERIMENTS[experiment]
    folder = f"results/data/{e.data.dataset}/reference"
    return [f"{folder}/{space}-{e.quality.n_reference}.npz" for space in e.quality.spaces]


def plan_file(experiment, row, seed):
    return f"results/{experiment}/measure/plan/{row.flow}/seed{seed}.json" if row.type == "gs-jacobi" else []


def tolerance_file(experiment, row):
    tuned = row.options.get("tolerance") == "tuned"
    return f"results/{experiment}/measure/tolerance/{row.name}.json" if tuned else []


def model_file(experiment, row, seed):
    """Return the checkpoint that a row draws from; none for real images, and for random weights."""
    e = EXPERIMENTS[experiment]
    if not row.draws:
        return []
    section, name = (e.reverses, row.reverse) if row.learned else (e.flows, row.flow)
    if not section[name].training.steps:
        return []
    return (reverse_file if row.learned else flow_file)(experiment, name, seed)


def denoising_flow(experiment, row, seed):
    """Return the flow whose score denoises a learned row's images; an inverse has it in its own model."""
    return flow_file(experiment, row.flow, seed) if row.learned and row.denoise else []


def truth_file(experiment, row, seed):
    """Return the unclamped draws of the exact inverse that a row is compared with."""
    truth = EXPERIMENTS[experiment].truth_of(row) if row.draws else None
    return f"results/{experiment}/samples/{truth.name}/seed{seed}.npy" if truth else []


# --- fingerprints: of a job's code and settings, and of the jobs that it rests on ---


def data_print(experiment):
    return plain(EXPERIMENTS[experiment].data)


def classifier_print(experiment):
    return fingerprint(code_of("train_classifier"), data_print(experiment))


def references_print(experiment):
    quality = plain(EXPERIMENTS[experiment].quality)
    return fingerprint(code_of("measure_reference"), classifier_print(experiment), quality["n_reference"])


def flow_print(experiment, flow):
    e = EXPERIMENTS[experiment]
    return fingerprint(code_of("train_flow"), data_print(experiment), plain(e.flows[flow]), e.precision)


def compared_features(reverse):
    """Whether a reverse's loss compares the features of the domain classifier."""
    return "classifier" in {**reverse.perceptual, **reverse.energy}


def reverse_print(experiment, name):
    e = EXPERIMENTS[experiment]
    reverse = e.reverses[name]
    below = [flow_print(experiment, reverse.flow)]
    below += [classifier_print(experiment)] if compared_features(reverse) else []
    return fingerprint(code_of("train_reverse"), data_print(experiment), plain(reverse), e.precision, below)


def plan_print(experiment, row):
    settings = [flow_print(experiment, row.flow), row.options.get("modules")]
    return fingerprint(code_of("choose_plan"), settings) if row.type == "gs-jacobi" else None


def tolerance_print(experiment, row):
    if row.options.get("tolerance") != "tuned":
        return None
    settings = [plain(EXPERIMENTS[experiment].tuning), plan_print(experiment, row), drawn(row)]
    code = code_of("tune_tolerance", *sampler_modules(row))
    return fingerprint(code, flow_print(experiment, row.flow), references_print(experiment), settings)


def model_print(experiment, row):
    """Return the fingerprints of all that a row draws with."""
    if not row.draws:
        return data_print(experiment)
    models = [flow_print(experiment, row.flow)]
    models += [reverse_print(experiment, row.reverse)] if row.reverse else []
    return [*models, plan_print(experiment, row), tolerance_print(experiment, row)]


def samples_print(experiment, row):
    code = code_of("draw_samples", *sampler_modules(row))
    settings = [drawn(row), EXPERIMENTS[experiment].sampling.n_samples]
    return fingerprint(code, settings, model_print(experiment, row))


def likelihood_print(experiment, flow):
    bits_per_dim = EXPERIMENTS[experiment].likelihood.bits_per_dim
    return fingerprint(code_of("measure_likelihood"), bits_per_dim, flow_print(experiment, flow))


def reconstruction_print(experiment, reverse):
    below = [reverse_print(experiment, reverse), references_print(experiment)]
    return fingerprint(code_of("measure_reconstruction"), below, EXPERIMENTS[experiment].sampling.n_samples)


def editing_print(experiment):
    e = EXPERIMENTS[experiment]
    below = [flow_print(experiment, next(iter(e.flows))), classifier_print(experiment)]
    below += [reverse_print(experiment, name) for name in e.reverses]
    return fingerprint(code_of("measure_editing"), below, plain(e.editing)) if e.editing else None


def speed_print(experiment):
    e = EXPERIMENTS[experiment]
    suite = [f"tests/speed/{name}.py" for name in ("test_samplers", "conftest", "build")]
    code = [*code_of("measure_speed"), *suite]
    rows = [[drawn(row), model_print(experiment, row)] for row in e.samplers if row.speed]
    return fingerprint(code, plain(e.speed), rows) if rows else None


def measured_print(experiment):
    """Return the fingerprint of every measurement of an experiment."""
    e = EXPERIMENTS[experiment]
    models = [flow_print(experiment, name) for name in e.flows]
    models += [reverse_print(experiment, name) for name in e.reverses]
    scored = [quality_print(experiment, row) for row in e.samplers if row.quality]
    if e.quality:
        scored += [likelihood_print(experiment, name) for name in e.flows]
        scored += [reconstruction_print(experiment, name) for name in e.reverses]
    others = [editing_print(experiment), speed_print(experiment), e.seeds]
    return fingerprint(code_of("collect_measurements"), models, scored, others)


def quality_print(experiment, row):
    truth = EXPERIMENTS[experiment].truth_of(row) if row.draws else None
    settings = [samples_print(experiment, row), truth and samples_print(experiment, truth)]
    settings += [references_print(experiment), plain(EXPERIMENTS[experiment].quality)]
    return fingerprint(code_of("measure_quality"), settings)
