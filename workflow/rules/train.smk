# Trainings take all cores, so they come first: what is left then runs side by side without a gap.
# A changed fingerprint trains again; `--rerun-triggers input` keeps what is trained whatever has changed.
rule train_flow:
    """Train a flow, TARFlow, by maximum likelihood."""
    output:
        weights="results/{experiment}/flows/{flow}/seed{seed}.safetensors",
        rows="results/{experiment}/flows/{flow}/seed{seed}.csv",
    log:
        "results/{experiment}/logs/train_flow/{flow}/seed{seed}.log",
    priority: 2
    conda:
        "../../environment.yml"
    threads: training_threads
    resources:
        gpu=1,
    params:
        data=setting("data"),
        flow=lambda w: plain(EXPERIMENTS[w.experiment].flows[w.flow]),
        device=setting("device"),
        precision=setting("precision"),
        compile=setting("compile"),
        fingerprint=lambda w: flow_print(w.experiment, w.flow),
    script:
        "../scripts/train_flow.py"


rule train_reverse:
    """Train a learned reverse against its frozen flow."""
    input:
        flow=lambda w: flow_file(w.experiment, EXPERIMENTS[w.experiment].reverses[w.model].flow, w.seed),
        classifier=branch(
            lambda w: compared_features(EXPERIMENTS[w.experiment].reverses[w.model]),
            then=lambda w: classifier_file(w.experiment),
            otherwise=[],
        ),
    output:
        weights="results/{experiment}/reverses/{model}/seed{seed}.safetensors",
        rows="results/{experiment}/reverses/{model}/seed{seed}.csv",
    log:
        "results/{experiment}/logs/train_reverse/{model}/seed{seed}.log",
    priority: 2
    conda:
        "../../environment.yml"
    threads: training_threads
    resources:
        gpu=1,
    params:
        data=setting("data"),
        model=lambda w: plain(EXPERIMENTS[w.experiment].reverses[w.model]),
        device=setting("device"),
        precision=setting("precision"),
        compile=setting("compile"),
        fingerprint=lambda w: reverse_print(w.experiment, w.model),
    script:
        "../scripts/train_reverse.py"
