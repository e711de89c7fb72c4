# What a budget of training time buys, on request: one seed, curves of every arm, and longer trained flows.
wildcard_constraints:
    steps=r"\d+",
    arm=alternatives(ARMS),


localrules:
    budget,


rule budget:
    """The curves of quality against training time, on request."""
    input:
        "results/budget.csv",
        expand("results/figures/{experiment}/budget.{suffix}", experiment=BUDGETED, suffix=["png", "pdf"]),


rule budget_start:
    """Draw denoised from the flow that the learned reverses are trained against."""
    input:
        flow=lambda w: f"results/{w.experiment}/forward/seed{first_seed(w)}.safetensors",
        classifier=classifier_of,
        references=references_of,
        code=library("nfbench/measure/budget.py", "nfbench/measure/scores.py") + INVERSE_CODE,
    output:
        "results/{experiment}/budget/forward.json",
    log:
        "results/{experiment}/logs/budget_start.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        n_samples=setting("budget", "n_samples"),
        batch_size=setting("sampling", "batch_size"),
        seed=first_seed,
        device=setting("device"),
        precision=setting("precision"),
    script:
        "../scripts/budget_start.py"


rule budget_forward:
    """Train a flow for longer than the learned reverses' own, and draw from it denoised at the end."""
    input:
        classifier=classifier_of,
        references=references_of,
        code=ancient(library("nfbench/measure/budget.py", "nfbench/measure/scores.py") + INVERSE_CODE),
    output:
        "results/{experiment}/budget/forward-{steps}.json",
    log:
        "results/{experiment}/logs/budget_forward/{steps}.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        data=setting("data"),
        forward=longer_flow,
        n_samples=setting("budget", "n_samples"),
        batch_size=setting("sampling", "batch_size"),
        seed=first_seed,
        device=setting("device"),
        precision=setting("precision"),
        compile=setting("compile"),
    script:
        "../scripts/budget_forward.py"


rule budget_reverse:
    """Train a learned reverse, and draw from it every so often."""
    input:
        flow=lambda w: f"results/{w.experiment}/forward/seed{first_seed(w)}.safetensors",
        classifier=classifier_of,
        references=references_of,
        code=ancient(
            library(
                "nfbench/measure/budget.py",
                "nfbench/measure/scores.py",
                "biflow/*.py",
                "biflow/perceptual/*.py",
            )
        ),
    output:
        "results/{experiment}/budget/{arm}.json",
    log:
        "results/{experiment}/logs/budget_reverse/{arm}.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        data=setting("data"),
        method=lambda w: EXPERIMENTS[w.experiment]["budget"]["arms"][w.arm]["method"],
        model=budget_arm,
        n_samples=setting("budget", "n_samples"),
        batch_size=setting("sampling", "batch_size"),
        seed=first_seed,
        device=setting("device"),
        precision=setting("precision"),
        compile=setting("compile"),
    script:
        "../scripts/budget_reverse.py"


rule budget_floor:
    """Measure as many real test images, which no curve can be expected to pass."""
    input:
        classifier=classifier_of,
        references=references_of,
        code=ancient(
            library(
                "nfbench/measure/budget.py",
                "nfbench/measure/scores.py",
                "nfbench/sample/floors.py",
            )
        ),
    output:
        "results/{experiment}/budget/floor.json",
    log:
        "results/{experiment}/logs/budget_floor.log",
    conda:
        "../../environment.yml"
    params:
        data=setting("data"),
        n_samples=setting("budget", "n_samples"),
        seed=first_seed,
        device=setting("device"),
        precision=setting("precision"),
    script:
        "../scripts/budget_floor.py"


rule report_budget:
    """Join the curves, and say when each arm passes the exact inverse at equal time."""
    input:
        flows=lambda w: budget_flows(BUDGETED),
        floor=f"results/{BUDGETED}/budget/floor.json",
        arms=lambda w: budget_arms(BUDGETED),
        code=library("nfbench/measure/budget.py", "nfbench/power_law.py", "nfbench/report/budget_figures.py"),
    output:
        csv="results/budget.csv",
        curves="results/budget_curves.csv",
        markdown="results/budget.md",
        origin="results/budget_origin.json",
        png="results/figures/{experiment}/budget.png".format(experiment=BUDGETED),
        pdf="results/figures/{experiment}/budget.pdf".format(experiment=BUDGETED),
    log:
        "results/logs/report_budget.log",
    conda:
        "../../environment.yml"
    params:
        spaces=lambda w: EXPERIMENTS[BUDGETED]["quality"]["spaces"],
    script:
        "../scripts/report_budget.py"
