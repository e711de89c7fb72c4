rule train_forward:
    """Train the forward flow, TARFlow, by maximum likelihood."""
    input:
        code=ancient(library("baselines/tarflow/model.py", "baselines/tarflow/training.py")),
    output:
        weights="results/{experiment}/forward/seed{seed}.safetensors",
        curve="results/{experiment}/forward/seed{seed}.csv",
    log:
        "results/{experiment}/logs/train_forward/seed{seed}.log",
    benchmark:
        "results/{experiment}/job_cost/train_forward/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    # Two trainings on the same cores slow each other down many times over.
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        data=setting("data"),
        forward=setting("forward"),
        device=setting("device"),
        precision=setting("precision"),
    script:
        "../scripts/train_forward.py"
