rule train_forward:
    """Train the forward flow, TARFlow, by maximum likelihood."""
    input:
        code=ancient(library("baselines/tarflow/model.py", "baselines/tarflow/training.py")),
    output:
        weights="results/{experiment}/{flow}/seed{seed}.safetensors",
        curve="results/{experiment}/{flow}/seed{seed}.csv",
    log:
        "results/{experiment}/logs/train_forward/{flow}/seed{seed}.log",
    benchmark:
        "results/{experiment}/job_cost/train_forward/{flow}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: training_threads
    resources:
        gpu=1,
    params:
        data=setting("data"),
        forward=lambda w: EXPERIMENTS[w.experiment]["flows"][w.flow],
        device=setting("device"),
        precision=setting("precision"),
        compile=setting("compile"),
    script:
        "../scripts/train_forward.py"
