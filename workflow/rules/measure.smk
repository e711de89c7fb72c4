rule measure_quality:
    """Compare one sample set with the reference in every feature space, and with the exact inverse."""
    input:
        samples="results/{experiment}/samples/{sampler}/seed{seed}.npz",
        unclamped="results/{experiment}/samples/{sampler}/seed{seed}.npy",
        classifier=lambda w: classifier_file(w.experiment),
        references=lambda w: reference_files(w.experiment),
        flow=lambda w: flow_file(w.experiment, row_of(w).flow, w.seed) if row_of(w).draws else [],
        truth=lambda w: truth_file(w.experiment, row_of(w), w.seed),
    output:
        rows="results/{experiment}/measure/quality/{sampler}/seed{seed}.csv",
    log:
        "results/{experiment}/logs/measure_quality/{sampler}/seed{seed}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        row=lambda w: drawn(row_of(w)),
        quality=setting("quality"),
        device=setting("device"),
        fingerprint=lambda w: quality_print(w.experiment, row_of(w)),
    script:
        "../scripts/measure_quality.py"


rule measure_likelihood:
    """Compute a flow's likelihood of test images."""
    input:
        flow="results/{experiment}/flows/{flow}/seed{seed}.safetensors",
    output:
        rows="results/{experiment}/measure/likelihood/{flow}/seed{seed}.csv",
    log:
        "results/{experiment}/logs/measure_likelihood/{flow}/seed{seed}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        data=setting("data"),
        bits_per_dim=setting("likelihood", "bits_per_dim"),
        device=setting("device"),
        fingerprint=lambda w: likelihood_print(w.experiment, w.flow),
    script:
        "../scripts/measure_likelihood.py"


rule measure_reconstruction:
    """Send held-out images through the flow and back through a learned reverse."""
    input:
        flow=lambda w: flow_file(w.experiment, EXPERIMENTS[w.experiment].reverses[w.model].flow, w.seed),
        model="results/{experiment}/reverses/{model}/seed{seed}.safetensors",
        classifier=lambda w: classifier_file(w.experiment),
        references=lambda w: reference_files(w.experiment),
    output:
        rows="results/{experiment}/measure/reconstruction/{model}/seed{seed}.csv",
    log:
        "results/{experiment}/logs/measure_reconstruction/{model}/seed{seed}.log",
    priority: 1  # the longest measuring job, so it starts before the others
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        data=setting("data"),
        objective=lambda w: EXPERIMENTS[w.experiment].reverses[w.model].objective,
        n_samples=setting("sampling", "n_samples"),
        device=setting("device"),
        fingerprint=lambda w: reconstruction_print(w.experiment, w.model),
    script:
        "../scripts/measure_reconstruction.py"


rule measure_editing:
    """Inpaint held-out images and change their class, with the exact inverse and the learned reverses."""
    input:
        flow=lambda w: flow_file(w.experiment, edited_flow(w.experiment), w.seed),
        reverses=lambda w: [reverse_file(w.experiment, r, w.seed) for r in edited_reverses(w.experiment)],
        classifier=lambda w: classifier_file(w.experiment),
    output:
        rows="results/{experiment}/measure/editing/seed{seed}.csv",
    log:
        "results/{experiment}/logs/measure_editing/seed{seed}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        data=setting("data"),
        editing=setting("editing"),
        names=lambda w: edited_reverses(w.experiment),
        objectives=lambda w: objectives_of(w.experiment, edited_reverses(w.experiment)),
        device=setting("device"),
        fingerprint=lambda w: editing_print(w.experiment),
    script:
        "../scripts/measure_editing.py"


rule measure_speed:
    """Time every sampler in processes of its own in random order, one of them against itself."""
    input:
        files=lambda w: timed_files(w.experiment),
    output:
        rows="results/{experiment}/measure/speed.csv",
    log:
        "results/{experiment}/logs/measure_speed.log",
    priority: -1
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        rows=lambda w: timed_rows(w.experiment),
        speed=setting("speed"),
        device=setting("device"),
        fingerprint=lambda w: speed_print(w.experiment),
    script:
        "../scripts/measure_speed.py"
