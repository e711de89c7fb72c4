rule plan_modules:
    """Measure on training images how hard the flow's blocks are, and choose GS-Jacobi's modules."""
    input:
        flow="results/{experiment}/forward/seed{seed}.safetensors",
        code=FLOW_CODE + library("baselines/tarflow/plan.py") + DATA_CODE,
    output:
        "results/{experiment}/sample/plan/seed{seed}.json",
    log:
        "results/{experiment}/logs/plan_modules/seed{seed}.log",
    conda:
        "../../environment.yml"
    params:
        data=setting("data"),
        modules=lambda w: EXPERIMENTS[w.experiment]["sampling"]["options"].get("gs-jacobi", {}).get("modules"),
    script:
        "../scripts/plan_modules.py"


rule tune_tau:
    """Find the largest threshold of an iterative inverse that leaves the Frechet distance alone."""
    input:
        flow=lambda w: f"results/{w.experiment}/forward/seed{first_seed(w)}.safetensors",
        plan=plan_of,
        classifier="results/{experiment}/measure/classifier.safetensors",
        reference="results/{experiment}/measure/reference/classifier.npz",
        code=SAMPLE_CODE + INVERSE_CODE + FEATURE_CODE + library("nfbench/measure/tuning.py"),
    output:
        "results/{experiment}/sample/tuning/{method}.json",
    log:
        "results/{experiment}/logs/tune_tau/{method}.log",
    benchmark:
        "results/{experiment}/job_cost/tune_tau/{method}.tsv"
    wildcard_constraints:
        method=alternatives(ITERATIVE),
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        tuning=setting("sampling", "tuning"),
        batch_size=setting("sampling", "batch_size"),
        guidance=setting("sampling", "guidance"),
        options=options_of,
        device=setting("device"),
    script:
        "../scripts/tune_tau.py"


rule draw_samples:
    """Draw one sampler's full sample set for one seed."""
    input:
        weights=model_of,
        plan=plan_of,
        tuning=tuning_of,
        code=SAMPLE_CODE + INVERSE_CODE + REVERSE_CODE + DATA_CODE,
    output:
        samples="results/{experiment}/sample/{sampler}/seed{seed}.npz",
        unclamped="results/{experiment}/sample/{sampler}/seed{seed}.npy",
    log:
        "results/{experiment}/logs/draw_samples/{sampler}/seed{seed}.log",
    benchmark:
        "results/{experiment}/job_cost/draw_samples/{sampler}/seed{seed}.tsv"
    wildcard_constraints:
        sampler=alternatives(UNDENOISED),
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        n_samples=setting("sampling", "n_samples"),
        batch_size=setting("sampling", "batch_size"),
        guidance=guidance_of,
        options=options_of,
        device=setting("device"),
    script:
        "../scripts/draw_samples.py"


rule denoise_samples:
    """Denoise noisy samples with the score of the flow: the same draw, one step further."""
    input:
        flow=flow_of,
        samples="results/{experiment}/sample/{sampler}/seed{seed}.npz",
        unclamped="results/{experiment}/sample/{sampler}/seed{seed}.npy",
        code=SAMPLE_CODE + INVERSE_CODE,
    output:
        samples="results/{experiment}/sample/{sampler}+denoise/seed{seed}.npz",
        unclamped="results/{experiment}/sample/{sampler}+denoise/seed{seed}.npy",
    log:
        "results/{experiment}/logs/denoise_samples/{sampler}/seed{seed}.log",
    benchmark:
        "results/{experiment}/job_cost/denoise_samples/{sampler}/seed{seed}.tsv"
    wildcard_constraints:
        sampler=alternatives(UNDENOISED),
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        batch_size=setting("sampling", "batch_size"),
        device=setting("device"),
    script:
        "../scripts/denoise_samples.py"


rule draw_floor:
    """Put real test images in a sampler's place, as they are and with the flow's own noise, and means of classes."""
    input:
        code=SAMPLE_CODE + DATA_CODE,
    output:
        clean="results/{experiment}/sample/floor/seed{seed}.npz",
        noisy="results/{experiment}/sample/floor-noisy/seed{seed}.npz",
        anchor="results/{experiment}/sample/class-means/seed{seed}.npz",
    log:
        "results/{experiment}/logs/draw_floor/seed{seed}.log",
    conda:
        "../../environment.yml"
    params:
        data=setting("data"),
        sigma=setting("forward", "sigma"),
        n_samples=setting("sampling", "n_samples"),
    script:
        "../scripts/draw_floor.py"
