rule train_classifier:
    """Train the domain classifier whose features are one of the spaces."""
    input:
        code=ancient(library("nfbench/measure/classifier.py")),
    output:
        weights="results/{experiment}/measure/classifier.safetensors",
    log:
        "results/{experiment}/logs/train_classifier.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        data=setting("data"),
        classifier=setting("quality", "classifier"),
        device=setting("device"),
    script:
        "../scripts/train_classifier.py"


rule measure_reference:
    """Compute the statistics of the reference images, once per feature space."""
    input:
        classifier=classifier_of,
        code=FEATURE_CODE,
    output:
        statistics="results/{experiment}/measure/reference/{space}.npz",
    log:
        "results/{experiment}/logs/measure_reference/{space}.log",
    benchmark:
        "results/{experiment}/job_cost/measure_reference/{space}.tsv"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        data=setting("data"),
        n_reference=setting("quality", "n_reference"),
        device=setting("device"),
    script:
        "../scripts/measure_reference.py"


rule measure_quality:
    """Compare one sample set with the reference in every feature space, and check its labels."""
    input:
        samples="results/{experiment}/sample/{source}/seed{seed}.npz",
        classifier=classifier_of,
        references=references_of,
        code=FEATURE_CODE + COMPARISON_CODE,
    output:
        "results/{experiment}/measure/quality/{source}/seed{seed}.json",
    log:
        "results/{experiment}/logs/measure_quality/{source}/seed{seed}.log",
    benchmark:
        "results/{experiment}/job_cost/measure_quality/{source}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        kid_subsets=setting("quality", "kid_subsets"),
        half_pairs=setting("quality", "half_pairs"),
        device=setting("device"),
    script:
        "../scripts/measure_quality.py"


rule measure_inversion:
    """Compare a sampler's images with the exact inverse of the same noise, and send them back through the flow."""
    input:
        flow=flow_of,
        samples="results/{experiment}/sample/{sampler}/seed{seed}.npz",
        unclamped="results/{experiment}/sample/{sampler}/seed{seed}.npy",
        truth=true_inverse_of,
        code=library("nfbench/measure/inversion.py", "nfbench/measure/intervals.py", "nfbench/student.py")
        + FLOW_CODE
        + DATA_CODE,
    output:
        "results/{experiment}/measure/inversion/{sampler}/seed{seed}.json",
    log:
        "results/{experiment}/logs/measure_inversion/{sampler}/seed{seed}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        device=setting("device"),
    script:
        "../scripts/measure_inversion.py"


rule measure_reconstruction:
    """Send held-out images through the flow and back through a learned reverse."""
    input:
        flow=flow_of,
        model="results/{experiment}/reverse/{method}/seed{seed}.safetensors",
        classifier=classifier_of,
        references=references_of,
        code=library(
            "baselines/tarflow/denoise.py",
            "biflow/objectives.py",
            "biflow/reconstruction.py",
            "biflow/training.py",
            "nfbench/measure/scores.py",
        )
        + FEATURE_CODE
        + FLOW_CODE
        + REVERSE_CODE
        + DATA_CODE,
    output:
        "results/{experiment}/measure/reconstruction/{method}/seed{seed}.json",
    log:
        "results/{experiment}/logs/measure_reconstruction/{method}/seed{seed}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        data=setting("data"),
        n_samples=setting("sampling", "n_samples"),
        device=setting("device"),
    script:
        "../scripts/measure_reconstruction.py"


rule measure_likelihood:
    """Compute the forward flow's likelihood of test images, with several draws of the noise on them."""
    input:
        flow="results/{experiment}/forward/seed{seed}.safetensors",
        code=library("nfbench/measure/likelihood.py", "baselines/tarflow/training.py") + FLOW_CODE + DATA_CODE,
    output:
        "results/{experiment}/measure/likelihood/seed{seed}.json",
    log:
        "results/{experiment}/logs/measure_likelihood/seed{seed}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        data=setting("data"),
        draws=setting("likelihood", "draws"),
        device=setting("device"),
    script:
        "../scripts/measure_likelihood.py"


rule measure_speed:
    """Time one sampler with pytest-benchmark in a process of its own, alone on the machine."""
    input:
        weights=model_of,
        flow=denoising_flow_of,
        plan=plan_of,
        tuning=tuning_of,
        code=library("nfbench/measure/speed.py") + INVERSE_CODE + REVERSE_CODE,
        suite=library("tests/conftest.py", "tests/speed/conftest.py", "tests/speed/test_sampler_speed.py"),
    output:
        "results/{experiment}/measure/speed/{sampler}.json",
    log:
        "results/{experiment}/logs/measure_speed/{sampler}.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        batch_sizes=setting("speed", "batch_sizes"),
        max_seconds=setting("speed", "max_seconds"),
        min_rounds=setting("speed", "min_rounds"),
        guidance=guidance_of,
        learned=lambda w: is_learned(w.sampler),
        options=options_of,
        device=setting("device"),
    script:
        "../scripts/measure_speed.py"


rule measure_ratios:
    """Time the exact inverses and Jacobi against each other in turn, on request."""
    input:
        flow=lambda w: f"results/{config['experiment']}/forward/seed{config['seeds'][0]}.safetensors",
        code=library("nfbench/measure/ratios.py", "nfbench/measure/speed.py") + INVERSE_CODE,
        suite=library(
            "tests/conftest.py",
            "tests/speed/conftest.py",
            "tests/speed/contestants.py",
            "tests/speed/published_loop.py",
            "tests/speed/rounds.py",
            "tests/speed/test_inverse_ratios.py",
        ),
    output:
        json="results/ratios-{device}.json",
        markdown="results/reference/inverse-ratios-{device}/ratios.md",
    log:
        "results/logs/measure_ratios/{device}.log",
    wildcard_constraints:
        device="cpu|cuda",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    script:
        "../scripts/measure_ratios.py"


rule measure_front:
    """Time the iterative inverses at many thresholds in turn, and take their errors."""
    input:
        flow=lambda w: f"results/{w.experiment}/forward/seed{first_seed(w)}.safetensors",
        plan=lambda w: f"results/{w.experiment}/sample/plan/seed{first_seed(w)}.json",
        tuning=lambda w: expand(
            "results/{experiment}/sample/tuning/{method}.json",
            experiment=w.experiment,
            method=iterative_methods(EXPERIMENTS[w.experiment]),
        ),
        code=library("nfbench/measure/front.py", "nfbench/measure/speed.py") + INVERSE_CODE,
    output:
        "results/{experiment}/measure/front.json",
    log:
        "results/{experiment}/logs/measure_front.log",
    benchmark:
        "results/{experiment}/job_cost/measure_front.tsv"
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        front=setting("speed", "front"),
        guidance=setting("sampling", "guidance"),
        options=setting("sampling", "options"),
        methods=lambda w: iterative_methods(EXPERIMENTS[w.experiment]),
        device=setting("device"),
    script:
        "../scripts/measure_front.py"


rule measure_editing:
    """Inpaint held-out images and change their class, with the exact inverse and every learned reverse."""
    input:
        flow="results/{experiment}/forward/seed{seed}.safetensors",
        reverses=reverses_at(lambda w: w.seed),
        classifier=classifier_of,
        code=EDITING_CODE + INVERSE_CODE + REVERSE_CODE + DATA_CODE,
    output:
        "results/{experiment}/measure/editing/seed{seed}.json",
    log:
        "results/{experiment}/logs/measure_editing/seed{seed}.log",
    benchmark:
        "results/{experiment}/job_cost/measure_editing/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        data=setting("data"),
        editing=setting("editing"),
        exact=EDITING_INVERSE,
        methods=clean_methods,
        device=setting("device"),
    script:
        "../scripts/measure_editing.py"


rule measure_guidance:
    """Draw the exact inverse and the guided reverses at many scales of guidance, and take their quality."""
    input:
        flow="results/{experiment}/forward/seed{seed}.safetensors",
        reverses=lambda w: expand(
            "results/{experiment}/reverse/{method}/seed{seed}.safetensors",
            experiment=w.experiment,
            method=guided_methods(w),
            seed=w.seed,
        ),
        classifier=classifier_of,
        references=references_of,
        code=library("nfbench/measure/guidance.py", "nfbench/measure/scores.py")
        + SAMPLE_CODE
        + INVERSE_CODE
        + REVERSE_CODE
        + DATA_CODE
        + FEATURE_CODE,
    output:
        "results/{experiment}/measure/guidance/seed{seed}.json",
    log:
        "results/{experiment}/logs/measure_guidance/seed{seed}.log",
    benchmark:
        "results/{experiment}/job_cost/measure_guidance/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        guidance=setting("guidance"),
        batch_size=setting("sampling", "batch_size"),
        methods=guided_methods,
        data=setting("data"),
        device=setting("device"),
    script:
        "../scripts/measure_guidance.py"
