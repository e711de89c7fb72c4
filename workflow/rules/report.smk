rule report_table:
    """Collect everything measured of one experiment, one row a sampler."""
    input:
        quality=measured("quality", samplers),
        floors=per_seed(
            "results/{experiment}/measure/quality/{floor}/seed{seed}.json",
            floor=["floor", "floor-noisy", "class-means"],
        ),
        inversion=measured("inversion", undenoised),
        reconstruction=measured("reconstruction", learned_methods),
        likelihood=per_seed("results/{experiment}/measure/likelihood/seed{seed}.json"),
        speed=lambda w: expand(
            "results/{experiment}/measure/speed/{sampler}.json",
            experiment=w.experiment,
            sampler=samplers(w),
        ),
        code=library(
            *(f"nfbench/report/{name}.py" for name in ("over_samples", "speedups", "tables")),
            "nfbench/measure/speed.py",
            "nfbench/student.py",
            "nfbench/trace/collect.py",
        ),
    output:
        csv="results/{experiment}/report/table1.csv",
        origin="results/{experiment}/report/table1_origin.json",
    log:
        "results/{experiment}/logs/report_table.log",
    conda:
        "../../environment.yml"
    params:
        samplers=samplers,
    script:
        "../scripts/report_table.py"


rule join_tables:
    """Join the tables of the configured experiments."""
    input:
        tables=expand("results/{experiment}/report/table1.csv", experiment=JOINED),
        origins=expand("results/{experiment}/report/table1_origin.json", experiment=JOINED),
        code=library("nfbench/report/tables.py"),
    output:
        csv=report(
            "results/table1.csv",
            caption="../report/table1.rst",
            category="Tables",
            labels={"table": "Table 1", "form": "CSV"},
        ),
        markdown="results/table1.md",
        origin="results/table1_origin.json",
    log:
        "results/logs/join_tables.log",
    conda:
        "../../environment.yml"
    params:
        experiments=JOINED,
    script:
        "../scripts/join_tables.py"


rule plot_samples:
    """Show all samplers' images from the same noise and labels side by side."""
    input:
        samples=first_seed_of("results/{experiment}/sample/{sampler}/seed{seed}.npz"),
        code=REPORT_CODE,
    output:
        png=figure_output("samples", "samples"),
        pdf="results/figures/{experiment}/samples.pdf",
    log:
        "results/{experiment}/logs/plot_samples.log",
    conda:
        "../../environment.yml"
    params:
        samplers=samplers,
        data=setting("data"),
    script:
        "../scripts/plot_samples.py"


rule plot_quality_speed:
    """Draw quality against latency."""
    input:
        table="results/{experiment}/report/table1.csv",
        code=REPORT_CODE,
    output:
        png=figure_output("quality_speed", "quality_speed"),
        pdf="results/figures/{experiment}/quality_speed.pdf",
    log:
        "results/{experiment}/logs/plot_quality_speed.log",
    conda:
        "../../environment.yml"
    params:
        spaces=setting("quality", "spaces"),
    script:
        "../scripts/plot_quality_speed.py"


rule plot_sample_size:
    """Draw quality against the number of samples."""
    input:
        quality=measured("quality", samplers),
        floors=per_seed(
            "results/{experiment}/measure/quality/{floor}/seed{seed}.json",
            floor=["floor", "floor-noisy"],
        ),
        code=REPORT_CODE,
    output:
        png=figure_output("sample_size", "sample_size"),
        pdf="results/figures/{experiment}/sample_size.pdf",
    log:
        "results/{experiment}/logs/plot_sample_size.log",
    conda:
        "../../environment.yml"
    params:
        spaces=setting("quality", "spaces"),
    script:
        "../scripts/plot_sample_size.py"


rule plot_front:
    """Draw milliseconds against the error of inversion for every threshold."""
    input:
        front="results/{experiment}/measure/front.json",
        code=REPORT_CODE,
    output:
        png=figure_output("front", "front"),
        pdf="results/figures/{experiment}/front.pdf",
    log:
        "results/{experiment}/logs/plot_front.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_front.py"


rule plot_sweeps:
    """Draw the sweeps that every block took, and the measures that foretell which are hard."""
    input:
        front="results/{experiment}/measure/front.json",
        plan=lambda w: f"results/{w.experiment}/sample/plan/seed{first_seed(w)}.json",
        code=REPORT_CODE,
    output:
        png=figure_output("sweeps", "sweeps"),
        pdf="results/figures/{experiment}/sweeps.pdf",
    log:
        "results/{experiment}/logs/plot_sweeps.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_sweeps.py"


rule plot_guidance:
    """Draw quality and label accuracy against the scale of guidance, and write them as a table."""
    input:
        measured=per_seed("results/{experiment}/measure/guidance/seed{seed}.json"),
        code=REPORT_CODE,
    output:
        png=figure_output("guidance", "guidance"),
        pdf="results/figures/{experiment}/guidance.pdf",
        csv="results/{experiment}/report/guidance.csv",
    log:
        "results/{experiment}/logs/plot_guidance.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_guidance.py"


rule plot_trajectory:
    """Follow test images through the flow to noise, and back through the exact inverse and the learned reverses."""
    input:
        flow=lambda w: f"results/{w.experiment}/forward/seed{first_seed(w)}.safetensors",
        reverses=lambda w: expand(
            "results/{experiment}/reverse/{method}/seed{seed}.safetensors",
            experiment=w.experiment,
            method=learned_methods(w),
            seed=first_seed(w),
        ),
        code=REPORT_CODE + INVERSE_CODE + REVERSE_CODE + library("biflow/objectives.py"),
    output:
        png=figure_output("trajectory", "trajectory"),
        pdf="results/figures/{experiment}/trajectory.pdf",
    log:
        "results/{experiment}/logs/plot_trajectory.log",
    conda:
        "../../environment.yml"
    params:
        data=setting("data"),
        methods=learned_methods,
    script:
        "../scripts/plot_trajectory.py"


rule plot_nearest:
    """Show the nearest training image beside some samples: nothing is memorised."""
    input:
        samples=lambda w: expand(
            "results/{experiment}/sample/{sampler}/seed{seed}.npz",
            experiment=w.experiment,
            sampler=distinct_samplers(w),
            seed=first_seed(w),
        ),
        code=REPORT_CODE + library("nfbench/measure/nearest.py"),
    output:
        png=figure_output("nearest", "nearest"),
        pdf="results/figures/{experiment}/nearest.pdf",
    log:
        "results/{experiment}/logs/plot_nearest.log",
    conda:
        "../../environment.yml"
    params:
        samplers=distinct_samplers,
        data=setting("data"),
    script:
        "../scripts/plot_nearest.py"


rule plot_training:
    """Draw the training curves."""
    input:
        forward=per_seed("results/{experiment}/forward/seed{seed}.csv"),
        reverses=reverse_models("csv"),
        code=REPORT_CODE,
    output:
        png=figure_output("training", "training"),
        pdf="results/figures/{experiment}/training.pdf",
    log:
        "results/{experiment}/logs/plot_training.log",
    conda:
        "../../environment.yml"
    params:
        methods=learned_methods,
    script:
        "../scripts/plot_training.py"


rule report_editing:
    """Collect what was measured of edited images, means and spreads over seeds."""
    input:
        measured=per_seed("results/{experiment}/measure/editing/seed{seed}.json"),
        code=library("nfbench/report/editing_table.py", "nfbench/report/tables.py"),
    output:
        csv=report(
            "results/{experiment}/report/editing.csv",
            caption="../report/editing.rst",
            category="Tables",
            labels={"table": "Edited images, {experiment}", "form": "CSV"},
        ),
        markdown="results/{experiment}/report/editing.md",
    log:
        "results/{experiment}/logs/report_editing.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/report_editing.py"


rule plot_inpainting:
    """Show test images with a part hidden, and what every way back puts there."""
    input:
        flow=lambda w: f"results/{w.experiment}/forward/seed{first_seed(w)}.safetensors",
        reverses=reverses_at(first_seed),
        code=REPORT_CODE + EDITING_CODE + INVERSE_CODE + REVERSE_CODE + DATA_CODE,
    output:
        png=figure_output("inpainting", "inpainting"),
        pdf="results/figures/{experiment}/inpainting.pdf",
    log:
        "results/{experiment}/logs/plot_inpainting.log",
    conda:
        "../../environment.yml"
    params:
        data=setting("data"),
        seed=first_seed,
        exact=EDITING_INVERSE,
        methods=clean_methods,
    script:
        "../scripts/plot_inpainting.py"


rule plot_editing:
    """Show test images as every class, by every way back."""
    input:
        flow=lambda w: f"results/{w.experiment}/forward/seed{first_seed(w)}.safetensors",
        reverses=reverses_at(first_seed),
        code=REPORT_CODE + EDITING_CODE + INVERSE_CODE + REVERSE_CODE + DATA_CODE,
    output:
        png=figure_output("class_editing", "class_editing"),
        pdf="results/figures/{experiment}/class_editing.pdf",
    log:
        "results/{experiment}/logs/plot_editing.log",
    conda:
        "../../environment.yml"
    params:
        data=setting("data"),
        seed=first_seed,
        exact=EDITING_INVERSE,
        methods=clean_methods,
    script:
        "../scripts/plot_editing.py"


rule keep_reference:
    """Copy an experiment's table and figures, with a manifest, to where they are committed."""
    input:
        csv="results/{experiment}/report/table1.csv",
        figures=lambda w: expand(
            "results/figures/{experiment}/{figure}.{suffix}",
            experiment=w.experiment,
            figure=figures_of(w.experiment),
            suffix=["png", "pdf"],
        ),
        samples=first_seed_of("results/{experiment}/sample/{sampler}/seed{seed}.npz"),
    output:
        csv="results/reference/{experiment}-{device}/table1.csv",
        markdown="results/reference/{experiment}-{device}/table1.md",
        figures=directory("results/reference/{experiment}-{device}/figures"),
        manifest="results/reference/{experiment}-{device}/manifest.json",
    log:
        "results/{experiment}/logs/keep_reference/{device}.log",
    wildcard_constraints:
        device="cpu|cuda|h100|h200",
    conda:
        "../../environment.yml"
    params:
        config=lambda w: EXPERIMENTS[w.experiment],
    script:
        "../scripts/keep_reference.py"
