# The page that reads like a paper's experiments.
def page_extras():
    """Return {what: file} of the results on request that are there: the reader's own, else the committed ones."""
    results, kept = Path("results"), ROOT / "results/reference"
    places = {
        "table2": [results / "table2.csv", *kept.glob(f"{ABLATED}-*/table2.csv")],
        "table3": [results / "table3.csv", *kept.glob(f"{ABLATED}-*/table3.csv")],
        "guidance": [
            results / f"figures/{ABLATED}/guidance.png",
            *kept.glob(f"{ABLATED}-*/guidance.png"),
        ],
        "editing": [
            results / f"{ABLATED}/report/editing.csv",
            *kept.glob(f"{ABLATED}-*/editing.csv"),
        ],
        "budget": [results / f"figures/{BUDGETED}/budget.png", *kept.glob(f"{BUDGETED}-*/budget.png")],
    }
    if ABLATED in JOINED:  # they are among what every run makes
        places["guidance"] = places["editing"] = []
    found = {what: [path for path in paths if path.is_file()] for what, paths in places.items()}
    return {what: os.path.relpath(paths[0]) for what, paths in found.items() if paths}


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
