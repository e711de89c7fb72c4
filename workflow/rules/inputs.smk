# Functions of the wildcards that give rules their inputs and params.


def seeds(wildcards):
    """Return the seeds of an experiment."""
    return EXPERIMENTS[wildcards.experiment]["seeds"]


def first_seed(wildcards):
    return seeds(wildcards)[0]


def training_threads(wildcards):
    """Return the cores of one training: all, since two trainings on the same cores slow each other down."""
    return EXPERIMENTS[wildcards.experiment]["threads_per_training"] or workflow.cores


def samplers(wildcards):
    return EXPERIMENTS[wildcards.experiment]["sampling"]["samplers"]


def variant_of(wildcards):
    """Return which ablation the wildcards' sampler or method is, None for the others."""
    name = getattr(wildcards, "sampler", None) or wildcards.method
    return contestant(name).variant if is_learned(name) else None


def seed_of(wildcards):
    """Return the wildcards' seed; where a rule has none, the experiment's first."""
    return getattr(wildcards, "seed", None) or first_seed(wildcards)


def flow_of(wildcards):
    """Return the flow that the wildcards' sampler or method inverts."""
    flow = f"forward@{variant_of(wildcards)}"
    if flow not in EXPERIMENTS[wildcards.experiment]["flows"]:
        flow = "forward"
    return f"results/{wildcards.experiment}/{flow}/seed{seed_of(wildcards)}.safetensors"


def model_of(wildcards):
    """Return the checkpoint that a sampler draws from."""
    if not is_learned(wildcards.sampler):
        return flow_of(wildcards)
    drawn = contestant(wildcards.sampler).drawn
    models = EXPERIMENTS[wildcards.experiment]["reverse"]
    method = drawn if drawn in models else base_name(drawn)  # a variant without a model of its own
    return f"results/{wildcards.experiment}/reverse/{method}/seed{seed_of(wildcards)}.safetensors"


def denoising_flow_of(wildcards):
    """Return the flow whose score denoises a learned sampler's images; others need none beside their model."""
    if not (is_learned(wildcards.sampler) and contestant(wildcards.sampler).denoised):
        return []
    return flow_of(wildcards)


def true_inverse_of(wildcards):
    """Return the samples that a sampler's are compared with: the exact inverse's, denoised for clean ones."""
    sampler = "sequential" if is_noisy(wildcards.sampler) else "sequential+denoise"
    return f"results/{wildcards.experiment}/sample/{sampler}/seed{wildcards.seed}.npy"


def undenoised(wildcards):
    """Return the contestants without their denoised forms, whose errors of inversion are the same."""
    return list(dict.fromkeys(contestant(sampler).drawn for sampler in samplers(wildcards)))


def distinct_samplers(wildcards):
    """Return the contestants without those that draw the images of another one faster."""
    same = {"sequential-static", *iterative_methods(EXPERIMENTS[wildcards.experiment])}
    names = samplers(wildcards)
    return [name for name in names if base_name(name) not in same] or names[:1]


def options_of(wildcards):
    """Return the options that the experiment gives the wildcards' sampler or method."""
    name = getattr(wildcards, "sampler", None) or wildcards.method
    values = EXPERIMENTS[wildcards.experiment]
    options = values["sampling"]["options"].get(base_name(name), {})
    if variant := variant_of(wildcards):
        options = options | ABLATIONS.variants[variant].options
        if values["reverse"].get(name, {}).get("denoising") == "none":
            options = options | {"output": "noisy"}
    return options


def guidance_of(wildcards):
    """Return the scale of guidance that the wildcards' sampler draws with."""
    if variant := variant_of(wildcards):
        scale = ABLATIONS.variants[variant].guidance
        if scale is not None:
            return scale
    return EXPERIMENTS[wildcards.experiment]["sampling"]["guidance"]


def plan_of(wildcards):
    """Return the plan of GS-Jacobi for the wildcards' flow; other samplers need none."""
    name = getattr(wildcards, "sampler", None) or wildcards.method
    if base_name(name) != "gs-jacobi":
        return []
    seed = getattr(wildcards, "seed", None) or first_seed(wildcards)
    return f"results/{wildcards.experiment}/sample/plan/seed{seed}.json"


def tuning_of(wildcards):
    """Return the file with the tuned threshold of a @tuned contestant; others need none."""
    chosen = contestant(wildcards.sampler)
    if chosen.variant != "tuned":
        return []
    return f"results/{wildcards.experiment}/sample/tuning/{chosen.method}.json"


def classifier_of(wildcards):
    """Return the domain classifier; the other feature spaces do not wait for it."""
    if getattr(wildcards, "space", "classifier") != "classifier":
        return []
    return f"results/{wildcards.experiment}/measure/classifier.safetensors"


def references_of(wildcards):
    """Return the statistics of the reference in every feature space."""
    return expand(
        "results/{experiment}/measure/reference/{space}.npz",
        experiment=wildcards.experiment,
        space=EXPERIMENTS[wildcards.experiment]["quality"]["spaces"],
    )


def classifier_of_loss(wildcards):
    """Return the domain classifier where a reverse model's loss compares its features; others need none."""
    model = EXPERIMENTS[wildcards.experiment]["reverse"][wildcards.method]
    if not any("classifier" in model.get(key, {}) for key in ("perceptual", "energy")):
        return []
    return f"results/{wildcards.experiment}/measure/classifier.safetensors"


def per_seed(pattern, **values):
    """Return an input function that expands a pattern over the experiment's seeds."""
    return lambda w: expand(pattern, experiment=w.experiment, seed=seeds(w), **values)


def measured(stage, names):
    """Return an input function for one measurement of the given samplers at every seed."""
    return lambda w: expand(
        "results/{experiment}/measure/{stage}/{name}/seed{seed}.json",
        experiment=w.experiment,
        stage=stage,
        name=names(w),
        seed=seeds(w),
    )


def learned_methods(wildcards):
    return sorted({base_name(s) for s in samplers(wildcards) if is_learned(s)})


def clean_methods(wildcards):
    """Return the learned reverses whose images are clean, as edited ones are to be."""
    return [method for method in learned_methods(wildcards) if not is_noisy(method)]


def guided_methods(wildcards):
    """Return the learned reverses that are trained with guidance, each after the method it is a variant of."""
    models = EXPERIMENTS[wildcards.experiment]["reverse"]
    guided = [method for method in models if models[method].get("guidance_max")]
    return list(dict.fromkeys(name for method in guided for name in (base_name(method), method)))


def reverse_models(suffix):
    """Return an input function for the learned reverses' files at every seed."""
    return lambda w: expand(
        "results/{experiment}/reverse/{method}/seed{seed}.{suffix}",
        experiment=w.experiment,
        method=learned_methods(w),
        seed=seeds(w),
        suffix=suffix,
    )


def compared(table):
    """Return the contestants of table 2, objectives, or of table 3, the base and its ablations."""
    values = EXPERIMENTS[ABLATED]
    if table == "2":
        names = [name for name in ABLATIONS.objectives if name in values["sampling"]["samplers"]]
    else:
        names = [ABLATIONS.base, *map(ABLATIONS.contestant, values["ablations"])]
    if ABLATIONS.base not in names or len(names) < 2:
        raise UserError(
            f"results/table{table}.csv compares nothing in experiment '{ABLATED}'; name one that does by"
            " 'ablation_experiment', e.g. fashion14-ablations."
        )
    return names


def curves_of(names):
    """Return the training curves of the learned ones among the contestants of tables 2 and 3, each once."""
    models = EXPERIMENTS[ABLATED]["reverse"]
    drawn = [contestant(name).drawn for name in names if is_learned(name)]
    return expand(
        "results/{experiment}/reverse/{method}/seed{seed}.csv",
        experiment=ABLATED,
        method=list(dict.fromkeys(name if name in models else base_name(name) for name in drawn)),
        seed=EXPERIMENTS[ABLATED]["seeds"],
    )


def reverses_at(seed):
    """Return an input function for the reverses of clean images at the seed that `seed` gives of the wildcards."""
    return lambda w: expand(
        "results/{experiment}/reverse/{method}/seed{seed}.safetensors",
        experiment=w.experiment,
        method=clean_methods(w),
        seed=seed(w),
    )


def first_seed_of(pattern):
    """Return an input function for every sampler's file at the first seed."""
    return lambda w: expand(pattern, experiment=w.experiment, sampler=samplers(w), seed=first_seed(w))


def figure_output(name, caption):
    """Return the path of a figure's PNG, shown in the HTML report with its caption."""
    path = f"results/figures/{{experiment}}/{name}"
    return report(
        f"{path}.png",
        caption=f"../report/{caption}.rst",
        category="Figures",
        labels={"experiment": "{experiment}", "figure": name.replace("_", " ")},
    )


def section_figures(experiment):
    """Return the names of the figures that an experiment has because of a section of its file."""
    values = EXPERIMENTS[experiment]
    sections = (
        (values["speed"]["front"], FRONT_FIGURES),
        (values["guidance"], GUIDANCE_FIGURES),
        (values["editing"], EDITING_FIGURES),
    )
    return [name for section, names in sections if section for name in names]


def figures_of(experiment):
    """Return the names of an experiment's figures."""
    return FIGURES + section_figures(experiment)


def all_figures():
    """Return every figure of the configured experiments, as PNG and PDF."""
    return [
        f"results/figures/{experiment}/{figure}.{suffix}"
        for experiment in JOINED
        for figure in figures_of(experiment)
        for suffix in ("png", "pdf")
    ]


def editing_tables(experiments, suffixes=("csv", "md")):
    """Return the tables of edited images of those among the experiments that edit some."""
    edited = [experiment for experiment in experiments if EXPERIMENTS[experiment]["editing"]]
    return expand("results/{experiment}/report/editing.{suffix}", experiment=edited, suffix=suffixes)
