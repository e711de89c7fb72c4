# Functions and lists of the rules on request, and of the pages that show what they have made.
from types import SimpleNamespace

BUDGETED = config.get("budget_experiment", config["experiment"])
ARMS = {arm for values in EXPERIMENTS.values() if values["budget"] for arm in values["budget"]["arms"]}


def budget_arm(wildcards):
    """Return the section of an arm's reverse model: its method's, with the arm's changes laid over it."""
    values = EXPERIMENTS[wildcards.experiment]
    arm = values["budget"]["arms"][wildcards.arm]
    base = values["reverse"][arm["method"]]
    return canonical(
        base | arm["change"] | {"training": base["training"] | arm["change"].get("training", {})}
    )


def longer_flow(wildcards):
    """Return the section of a flow whose schedule ends after so many steps, evaluated there alone."""
    forward, steps = EXPERIMENTS[wildcards.experiment]["forward"], int(wildcards.steps)
    return forward | {"training": forward["training"] | {"steps": steps, "evaluate_every": steps}}


def budget_flows(experiment):
    """Return the files of a budget's flows: the arms' own, and longer trained ones."""
    steps = EXPERIMENTS[experiment]["budget"]["forward_steps"]
    return [f"results/{experiment}/budget/forward{longer}.json" for longer in ["", *(f"-{n}" for n in steps)]]


def budget_arms(experiment):
    """Return the files of a budget's arms."""
    return [f"results/{experiment}/budget/{arm}.json" for arm in EXPERIMENTS[experiment]["budget"]["arms"]]


def protocol_contestant(experiment, sampler):
    """Return what a process needs to time a sampler: its files, options and whether it is learned."""
    wildcards = SimpleNamespace(experiment=experiment, sampler=sampler)
    return {
        "contestant": sampler,
        "weights": model_of(wildcards),
        "flow": denoising_flow_of(wildcards),
        "plan": plan_of(wildcards),
        "tuning": tuning_of(wildcards),
        "options": options_of(wildcards),
        "learned": is_learned(sampler),
    }


def protocol_contestants(wildcards):
    """Return what the processes of every sampler of the experiment need."""
    return [protocol_contestant(wildcards.experiment, sampler) for sampler in samplers(wildcards)]


def protocol_files(wildcards):
    """Return the models, plans and thresholds of an experiment's samplers, each once."""
    kinds = ("weights", "flow", "plan", "tuning")
    files = [chosen[kind] for chosen in protocol_contestants(wildcards) for kind in kinds]
    return list(dict.fromkeys(path for path in files if path))


def speed_references():
    """Return the tables of speed that table 4 shows beside its own, as absolute paths, which no rule makes."""
    listed = [path for experiment in JOINED for path in EXPERIMENTS[experiment]["speed"]["references"]]
    for path in listed:
        if not (ROOT / path).is_file():
            sys.exit(
                f"error: 'speed.references' lists {path}, and there is no such file; leave it out or fetch it."
            )
    return [str(ROOT / path) for path in dict.fromkeys(listed)]


def own_tables():
    """Return the reader's tables that claims may be read from, beside those that every run makes."""
    edited = [f"results/{name}/report/editing.csv" for name in EXPERIMENTS if name not in JOINED]
    timed = [f"results/{name}/report/speed.csv" for name in EXPERIMENTS]
    return there("results/table[23].csv", "results/table[23]_verdicts.csv", *edited, *timed)


def reference_tables():
    """Return the committed tables that claims may be read from, those of the experiment's own images first."""
    names = ("table*.csv", "editing.csv", "speed.csv", "ratios.md")
    tables = hashes(library(*(f"results/reference/*/{name}" for name in names)))
    images = config["experiment"].split("-")[0]
    return dict(sorted(tables.items(), key=lambda item: Path(item[0]).parent.name.split("-")[0] != images))


def kept(experiment, name):
    """Return an experiment's committed files of that name, by device; `a-b-cpu` is none of experiment `a`."""
    folders = sorted((ROOT / "results/reference").glob(f"{experiment}-*"))
    return [f / name for f in folders if "-" not in f.name.removeprefix(f"{experiment}-")]


def page_extras():
    """Return {what: file} of the results on request that are there: the reader's own, else the committed ones."""
    results = Path("results")
    places = {
        "table2": [results / "table2.csv", *kept(ABLATED, "table2.csv")],
        "table3": [results / "table3.csv", *kept(ABLATED, "table3.csv")],
        "guidance": [
            results / f"figures/{ABLATED}/guidance.png",
            *kept(ABLATED, "guidance.png"),
        ],
        "editing": [
            results / f"{ABLATED}/report/editing.csv",
            *kept(ABLATED, "editing.csv"),
        ],
        "budget": [results / f"figures/{BUDGETED}/budget.png", *kept(BUDGETED, "budget.png")],
    }
    if ABLATED in JOINED:  # they are among what every run makes
        places["guidance"] = places["editing"] = []
    found = {what: [path for path in paths if path.is_file()] for what, paths in places.items()}
    return {what: os.path.relpath(paths[0]) for what, paths in found.items() if paths}
