rule rebuild_fashion14:
    """Pool the original Fashion-MNIST files to 14x14 again; the arrays must equal the embedded ones."""
    output:
        "results/fashion14/data/fashion14.npz",
    log:
        "results/fashion14/logs/rebuild_fashion14.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/rebuild_fashion14.py"


rule train_classifier:
    """Train the domain classifier of a data set, whose features are one of the spaces."""
    output:
        weights="results/data/{dataset}/classifier.safetensors",
    log:
        "results/data/{dataset}/logs/train_classifier.log",
    # Before all trainings where one's loss compares its features; else after them, before quality is measured.
    priority: 3 if any(compared_features(r) for e in EXPERIMENTS.values() for r in e.reverses.values()) else 1
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        data=lambda w: plain(DATASETS[w.dataset]),
        device=ACTIVE.device,
        fingerprint=lambda w: fingerprint(code_of("train_classifier"), plain(DATASETS[w.dataset])),
    script:
        "../scripts/train_classifier.py"


rule measure_reference:
    """Compute the statistics of the reference images in one feature space."""
    input:
        classifier=branch(
            lambda w: w.space == "classifier",
            then="results/data/{dataset}/classifier.safetensors",
            otherwise=[],
        ),
    output:
        statistics="results/data/{dataset}/reference/{space}-{n}.npz",
    log:
        "results/data/{dataset}/logs/measure_reference/{space}-{n}.log",
    priority: 1
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        data=lambda w: plain(DATASETS[w.dataset]),
        device=ACTIVE.device,
        fingerprint=lambda w: fingerprint(
            code_of("measure_reference"),
            plain(DATASETS[w.dataset]),
            fingerprint(code_of("train_classifier")) if w.space == "classifier" else None,
        ),
    script:
        "../scripts/measure_reference.py"
