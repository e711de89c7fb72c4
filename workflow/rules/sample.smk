rule choose_plan:
    """Measure on training images how hard the flow's blocks are, and choose GS-Jacobi's modules."""
    input:
        flow="results/{experiment}/flows/{flow}/seed{seed}.safetensors",
    output:
        plan="results/{experiment}/measure/plan/{flow}/seed{seed}.json",
        rows="results/{experiment}/measure/plan/{flow}/seed{seed}.csv",
    log:
        "results/{experiment}/logs/choose_plan/{flow}/seed{seed}.log",
    conda:
        "../../environment.yml"
    params:
        data=setting("data"),
        modules=lambda w: planned_row(w).options.get("modules"),
        fingerprint=lambda w: plan_print(w.experiment, planned_row(w)),
    script:
        "../scripts/choose_plan.py"


rule tune_tolerance:
    """Find the largest tolerance of an iterative inverse that leaves the Frechet distance alone."""
    input:
        flow=lambda w: flow_file(w.experiment, row_of(w).flow, EXPERIMENTS[w.experiment].seeds[0]),
        plan=lambda w: plan_file(w.experiment, row_of(w), EXPERIMENTS[w.experiment].seeds[0]),
        classifier=lambda w: classifier_file(w.experiment),
        reference=lambda w: "results/data/{}/reference/classifier-{}.npz".format(
            EXPERIMENTS[w.experiment].data.dataset, EXPERIMENTS[w.experiment].quality.n_reference
        ),
    output:
        "results/{experiment}/measure/tolerance/{sampler}.json",
    log:
        "results/{experiment}/logs/tune_tolerance/{sampler}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        row=lambda w: drawn(row_of(w)),
        tuning=setting("tuning"),
        batch_size=setting("sampling", "batch_size"),
        device=setting("device"),
        fingerprint=lambda w: tolerance_print(w.experiment, row_of(w)),
    script:
        "../scripts/tune_tolerance.py"


rule draw_samples:
    """Draw one row's full sample set for one seed."""
    input:
        model=lambda w: model_file(w.experiment, row_of(w), w.seed),
        flow=lambda w: denoising_flow(w.experiment, row_of(w), w.seed),
        plan=lambda w: plan_file(w.experiment, row_of(w), w.seed),
        tolerance=lambda w: tolerance_file(w.experiment, row_of(w)),
    output:
        samples="results/{experiment}/samples/{sampler}/seed{seed}.npz",
        unclamped="results/{experiment}/samples/{sampler}/seed{seed}.npy",
    log:
        "results/{experiment}/logs/draw_samples/{sampler}/seed{seed}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        row=lambda w: drawn(row_of(w)),
        data=setting("data"),
        sigma=lambda w: sigma_of(w),
        n_samples=setting("sampling", "n_samples"),
        batch_size=setting("sampling", "batch_size"),
        device=setting("device"),
        fingerprint=lambda w: samples_print(w.experiment, row_of(w)),
    script:
        "../scripts/draw_samples.py"
