rule draw_samples:
    """Draw one sampler's full sample set for one seed."""
    input:
        weights=model_of,
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
        guidance=setting("sampling", "guidance"),
        device=setting("device"),
    script:
        "../scripts/draw_samples.py"


rule denoise_samples:
    """Denoise the samples of an inverse with the score of its flow: the same draw, one step further."""
    input:
        flow="results/{experiment}/forward/seed{seed}.safetensors",
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
    """Put real test images in a sampler's place: as they are, and with the flow's own noise."""
    input:
        code=SAMPLE_CODE + DATA_CODE,
    output:
        clean="results/{experiment}/sample/floor/seed{seed}.npz",
        noisy="results/{experiment}/sample/floor-noisy/seed{seed}.npz",
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
