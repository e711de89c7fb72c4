# What the sections editing and guidance of an experiment make, copied to where it is committed.
rule keep_editing:
    """Copy the table and the figures of edited images, with a manifest, to where they are committed."""
    input:
        files=[
            *expand("results/{{experiment}}/report/editing.{suffix}", suffix=["csv", "md"]),
            *expand(
                "results/figures/{{experiment}}/{figure}.{suffix}",
                figure=EDITING_FIGURES,
                suffix=["png", "pdf"],
            ),
        ],
        measured=per_seed("results/{experiment}/measure/editing/seed{seed}.json"),
    output:
        files=[
            *expand("results/reference/{{experiment}}-{{device}}/editing.{suffix}", suffix=["csv", "md"]),
            *expand(
                "results/reference/{{experiment}}-{{device}}/{figure}.{suffix}",
                figure=EDITING_FIGURES,
                suffix=["png", "pdf"],
            ),
        ],
        manifest="results/reference/{experiment}-{device}/editing.json",
    log:
        "results/{experiment}/logs/keep_editing/{device}.log",
    wildcard_constraints:
        device="cpu|cuda|h100|h200",
    conda:
        "../../environment.yml"
    params:
        config=lambda w: EXPERIMENTS[w.experiment],
    script:
        "../scripts/keep_files.py"


rule keep_guidance:
    """Copy the figure of guidance, with a manifest, to where it is committed."""
    input:
        files=expand("results/figures/{{experiment}}/guidance.{suffix}", suffix=["png", "pdf"]),
        measured=per_seed("results/{experiment}/measure/guidance/seed{seed}.json"),
    output:
        files=expand("results/reference/{{experiment}}-{{device}}/guidance.{suffix}", suffix=["png", "pdf"]),
        manifest="results/reference/{experiment}-{device}/guidance.json",
    log:
        "results/{experiment}/logs/keep_guidance/{device}.log",
    wildcard_constraints:
        device="cpu|cuda|h100|h200",
    conda:
        "../../environment.yml"
    params:
        config=lambda w: EXPERIMENTS[w.experiment],
    script:
        "../scripts/keep_files.py"
