rule train_reverse:
    """Train a reverse model against the frozen flow."""
    input:
        flow="results/{experiment}/forward/seed{seed}.safetensors",
        code=ancient(
            library(
                *(
                    f"biflow/{name}.py"
                    for name in (
                        *("distances", "guidance", "layers", "methods", "model", "objectives"),
                        "training",
                    )
                )
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
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        data=setting("data"),
        model=lambda w: EXPERIMENTS[w.experiment]["reverse"][w.method],
        device=setting("device"),
        precision=setting("precision"),
    script:
        "../scripts/train_reverse.py"
