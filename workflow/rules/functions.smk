# Functions of the rules that sample, measure and report; what all rules share is in common.smk.


def planned_row(wildcards):
    """Return the first row whose plan a flow's is; all rows of a flow share one."""
    rows = EXPERIMENTS[wildcards.experiment].samplers
    return next(row for row in rows if row.type == "gs-jacobi" and row.flow == wildcards.flow)


def sigma_of(wildcards):
    """Return the noise on real images, None for rows that need none."""
    row = row_of(wildcards)
    return EXPERIMENTS[wildcards.experiment].flows[row.flow].sigma if row.type == "real+noise" else None


def edited_flow(experiment):
    """Return the flow whose images are edited, the first."""
    return next(iter(EXPERIMENTS[experiment].flows))


def edited_reverses(experiment):
    """Return the reverses with clean images that rows of the edited flow draw from."""
    e = EXPERIMENTS[experiment]
    names = dict.fromkeys(row.reverse for row in e.samplers if row.reverse and row.factor is None)
    flow = edited_flow(experiment)
    return [name for name in names if e.reverses[name].output == "clean" and e.reverses[name].flow == flow]


def objectives_of(experiment, reverses):
    return [EXPERIMENTS[experiment].reverses[name].objective for name in reverses]


def timed_rows(experiment):
    """Return what a process needs to build each timed sampler: its row, and files or architectures."""
    e = EXPERIMENTS[experiment]
    seed = e.seeds[0]
    return [
        {
            "row": drawn(row),
            "model": model_file(experiment, row, seed) or None,
            "flow": denoising_flow(experiment, row, seed) or None,
            "plan": plan_file(experiment, row, seed) or None,
            "tolerance": tolerance_file(experiment, row) or None,
            "flow_config": plain(e.flows[row.flow]),
            "reverse_config": plain(e.reverses[row.reverse]) if row.reverse else None,
            "data": None if e.flows[row.flow].shape else plain(e.data),
        }
        for row in e.samplers
        if row.speed
    ]


def timed_files(experiment):
    """Return the models, plans and tolerances of the timed rows, each once."""
    kinds = ("model", "flow", "plan", "tolerance")
    files = [row[kind] for row in timed_rows(experiment) for kind in kinds]
    return list(dict.fromkeys(path for path in files if path))


def measured_rows(experiment):
    """Return the files of every measurement of an experiment."""
    e = EXPERIMENTS[experiment]
    folder = f"results/{experiment}"
    trained = [name for name, flow in e.flows.items() if flow.training.steps]
    reverses = [name for name, reverse in e.reverses.items() if reverse.training.steps]
    scored = [row.name for row in e.samplers if row.quality]
    planned = dict.fromkeys(row.flow for row in e.samplers if row.type == "gs-jacobi" and row.quality)
    kinds = {
        "flows": trained,
        "reverses": reverses,
        "measure/likelihood": trained if e.quality else [],
        "measure/plan": planned,
        "measure/quality": scored,
        "measure/reconstruction": reverses if e.quality else [],
        "measure/editing": [""] if e.editing else [],
    }
    files = [
        f"{folder}/{kind}/{name}/seed{seed}.csv".replace("//", "/")
        for kind, names in kinds.items()
        for name in names
        for seed in e.seeds
    ]
    return files + ([f"{folder}/measure/speed.csv"] if any(row.speed for row in e.samplers) else [])


def first_seed(wildcards):
    return EXPERIMENTS[wildcards.experiment].seeds[0]


def shown_rows(experiment):
    """Return the rows whose images are shown."""
    return [row for row in EXPERIMENTS[experiment].samplers if row.quality and row.step is None]


def images_of(experiment):
    return image_names(plain(EXPERIMENTS[experiment]))


def charts_of(experiment):
    return chart_names(plain(EXPERIMENTS[experiment]))


def tables_of(experiment):
    """Return the tables that an experiment has rows for."""
    return [name for name, spec in TABLES.items() if applies(spec, plain(EXPERIMENTS[experiment]))]


def source_path(path):
    """Return the path of a file of the repository, from where the workflow runs."""
    return os.path.relpath(ROOT / path)


def content(*paths):
    """Return the hashes of files of the repository, whose times say nothing."""
    return [sha256_file(path) for path in paths]


def joined_print(rule_name, *files):
    """Return the fingerprint of what joins the experiments, the references and the specs."""
    read = [
        SPECS,
        TEMPLATE,
        *(path for each in files for path in ([each] if isinstance(each, str) else each)),
    ]
    return fingerprint(code_of(rule_name), [measured_print(name) for name in ACTIVE.joined], content(*read))


REFERENCES = (ROOT / "results/reference/index.txt").read_text().split()  # folders of committed runs
SPECS = source_path("config/tables.yaml")
TEMPLATE = source_path("nfbench/report/templates/page.html.j2")
FORMS = ("csv", "md", "tex")
