rule train_reverse:
    """Train a reverse model against the frozen flow."""
    input:
        flow=flow_of,
        classifier=classifier_of_loss,
        code=ancient(
            library(
                "baselines/farmer.py",
                *(
                    f"biflow/{name}.py"
                    for name in (
                        *("distances", "energy", "guidance", "layers", "methods", "model", "objectives"),
                        *("recipes", "training"),
                    )
                ),
                "biflow/perceptual/*.py",
            )
        ),
    output:
        weights="results/{experiment}/reverse/{method}/seed{seed}.safetensors",
        curve="results/{experiment}/reverse/{method}/seed{seed}.csv",
    log:
        "results/{experiment}/logs/train_reverse/{method}/seed{seed}.log",
    benchmark:
        "results/{experiment}/job_cost/train_reverse/{method}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: training_threads
    resources:
        gpu=1,
    params:
        data=setting("data"),
        model=lambda w: EXPERIMENTS[w.experiment]["reverse"][w.method],
        device=setting("device"),
        precision=setting("precision"),
        compile=setting("compile"),
    script:
        "../scripts/train_reverse.py"
