# The papers' claims, tables ready to paste, and where every table comes from.
PRINTED = ["table1", "table2", "table3", "table4", "claims"]


CLAIMS_CODE = library(
    *(f"nfbench/report/{name}.py" for name in ("claims", "claims_table", "evidence", "evidence_tables")),
    *(f"nfbench/report/{name}" for name in ("seed_intervals.py", "paper_numbers.py", "paper_numbers.csv")),
)


rule report_claims:
    """Judge what the papers claim by the reader's own tables and by the committed ones."""
    input:
        own=["results/table1.csv", *editing_tables(JOINED, ["csv"])],
        claims=library("config/claims.yaml")[0],
        schema=library("workflow/schemas/claims.schema.yaml")[0],
        code=CLAIMS_CODE,
    output:
        csv="results/claims.csv",
        evidence="results/claims_evidence.csv",
        markdown="results/claims.md",
        origin="results/claims_origin.json",
    log:
        "results/logs/report_claims.log",
    conda:
        "../../environment.yml"
    params:
        others=lambda w: own_tables() | reference_tables(),
    script:
        "../scripts/report_claims.py"


rule keep_claims:
    """Judge what the papers claim by the committed tables alone, and write it to where it is committed."""
    input:
        own=[],
        claims=library("config/claims.yaml")[0],
        schema=library("workflow/schemas/claims.schema.yaml")[0],
        code=CLAIMS_CODE,
    output:
        csv="results/reference/claims/claims.csv",
        evidence="results/reference/claims/claims_evidence.csv",
        markdown="results/reference/claims/claims.md",
        origin="results/reference/claims/claims_origin.json",
    log:
        "results/logs/keep_claims.log",
    conda:
        "../../environment.yml"
    params:
        others=lambda w: reference_tables(),
    script:
        "../scripts/report_claims.py"


rule print_table:
    """Print a table as LaTeX and as compact Markdown, ready to paste."""
    input:
        csv="results/{printed}.csv",
        code=library(
            *(f"nfbench/report/{name}.py" for name in ("paper_tables", "paper_layouts", "seed_intervals"))
        ),
    output:
        latex="results/{printed}.tex",
        markdown="results/{printed}_paper.md",
    log:
        "results/logs/print_table/{printed}.log",
    wildcard_constraints:
        printed=alternatives(PRINTED),
    conda:
        "../../environment.yml"
    script:
        "../scripts/print_table.py"


rule write_manifest:
    """Collect where every table comes from: table 1, the claims, and of the others those that are there."""
    input:
        origins=["results/table1_origin.json", "results/claims_origin.json"],
        printed=expand("results/{table}{form}", table=["table1", "claims"], form=[".tex", "_paper.md"]),
        code=library("nfbench/trace/manifest.py"),
    output:
        "results/manifest.json",
    log:
        "results/logs/write_manifest.log",
    conda:
        "../../environment.yml"
    params:
        others=lambda w: there("results/table[234]_origin.json", "results/budget_origin.json"),
        configs=lambda w: EXPERIMENTS,
    script:
        "../scripts/write_manifest.py"
