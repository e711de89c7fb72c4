# What an experiment makes on request beside its speed, copied to where it is committed.
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
    """Copy the figure and the table of guidance, with a manifest, to where they are committed."""
    input:
        files=[
            *expand("results/figures/{{experiment}}/guidance.{suffix}", suffix=["png", "pdf"]),
            "results/{experiment}/report/guidance.csv",
        ],
        measured=per_seed("results/{experiment}/measure/guidance/seed{seed}.json"),
    output:
        files=expand(
            "results/reference/{{experiment}}-{{device}}/guidance.{suffix}",
            suffix=["png", "pdf", "csv"],
        ),
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


rule keep_budget:
    """Copy the curves of the budget, their table and figure, with a manifest, to where they are committed."""
    input:
        files=[
            *expand("results/budget{form}", form=[".csv", ".md", "_curves.csv"]),
            *expand("results/figures/{{experiment}}/budget.{suffix}", suffix=["png", "pdf"]),
        ],
        measured=lambda w: [
            f"results/{w.experiment}/budget/floor.json",
            *budget_flows(w.experiment),
            *budget_arms(w.experiment),
        ],
    output:
        files=[
            *expand(
                "results/reference/{{experiment}}-{{device}}/budget{form}",
                form=[".csv", ".md", "_curves.csv"],
            ),
            *expand("results/reference/{{experiment}}-{{device}}/budget.{suffix}", suffix=["png", "pdf"]),
        ],
        manifest="results/reference/{experiment}-{device}/budget.json",
    log:
        "results/{experiment}/logs/keep_budget/{device}.log",
    wildcard_constraints:
        experiment=re.escape(BUDGETED),
        device="cpu|cuda|h100|h200",
    conda:
        "../../environment.yml"
    params:
        config=lambda w: EXPERIMENTS[w.experiment],
    script:
        "../scripts/keep_files.py"


rule keep_comparisons:
    """Copy tables 2 and 3 with their verdicts and a manifest to where they are committed."""
    input:
        files=expand("results/table{table}{form}", table=[2, 3], form=[".csv", ".md", "_verdicts.csv"]),
        measured=lambda w: expand(
            "results/{experiment}/measure/quality/{sampler}/seed{seed}.json",
            experiment=ABLATED,
            sampler=dict.fromkeys([*compared("2"), *compared("3")]),
            seed=EXPERIMENTS[ABLATED]["seeds"],
        ),
    output:
        files=expand(
            "results/reference/{{experiment}}-{{device}}/table{table}{form}",
            table=[2, 3],
            form=[".csv", ".md", "_verdicts.csv"],
        ),
        manifest="results/reference/{experiment}-{device}/comparisons.json",
    log:
        "results/{experiment}/logs/keep_comparisons/{device}.log",
    wildcard_constraints:
        experiment=re.escape(ABLATED),
        device="cpu|cuda|h100|h200",
    conda:
        "../../environment.yml"
    params:
        config=lambda w: EXPERIMENTS[w.experiment],
    script:
        "../scripts/keep_files.py"
