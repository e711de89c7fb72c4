# The page that reads like a paper's experiments.
rule report_page:
    """Write the tables and figures up as a page, with results made on request where they are."""
    input:
        table="results/table1.csv",
        claims="results/claims.csv",
        figures=[path for path in all_figures() if path.endswith(".png")],
        editing=editing_tables(JOINED, ["csv"]),
        captions=library("workflow/report/*.rst"),
        code=library("nfbench/report/page.py", "nfbench/report/experiment_page.py"),
    output:
        "results/report.html",
    log:
        "results/logs/report_page.log",
    conda:
        "../../environment.yml"
    params:
        extras=page_extras(),
        captions=str(ROOT / "workflow/report"),
        ablated=ABLATED,
    script:
        "../scripts/report_page.py"
