rule report_comparisons:
    """Compare the objectives (table 2) or the ablations (table 3) over seeds, with the paper's numbers beside."""
    input:
        quality=lambda w: expand(
            "results/{experiment}/measure/quality/{sampler}/seed{seed}.json",
            experiment=ABLATED,
            sampler=compared(w.table),
            seed=EXPERIMENTS[ABLATED]["seeds"],
        ),
        floors=expand(
            "results/{experiment}/measure/quality/{floor}/seed{seed}.json",
            experiment=ABLATED,
            floor=["floor", "floor-noisy"],
            seed=EXPERIMENTS[ABLATED]["seeds"],
        ),
        curves=lambda w: curves_of(compared(w.table)),
        code=library(
            *(
                f"nfbench/report/{name}.py"
                for name in ("ablations", "comparisons", "over_samples", "tables")
            ),
            "nfbench/trace/collect.py",
        ),
    output:
        csv="results/table{table}.csv",
        verdicts="results/table{table}_verdicts.csv",
        markdown="results/table{table}.md",
        origin="results/table{table}_origin.json",
    log:
        "results/logs/report_comparisons/table{table}.log",
    wildcard_constraints:
        table="2|3",
    conda:
        "../../environment.yml"
    params:
        experiment=ABLATED,
        rows=lambda w: [ABLATIONS.describe(name) for name in compared(w.table)],
        base=ABLATIONS.base,
    script:
        "../scripts/report_comparisons.py"
