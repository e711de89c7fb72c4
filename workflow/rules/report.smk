rule collect_measurements:
    """Join every measurement of an experiment into one long table."""
    input:
        rows=lambda w: measured_rows(w.experiment),
    output:
        csv="results/{experiment}/measurements.csv",
        experiment="results/{experiment}/experiment.yaml",
    log:
        "results/{experiment}/logs/collect_measurements.log",
    conda:
        "../../environment.yml"
    params:
        experiment=lambda w: plain(EXPERIMENTS[w.experiment]),
        fingerprint=lambda w: measured_print(w.experiment),
    script:
        "../scripts/collect_measurements.py"


rule plot_images:
    """Draw the figures of images: samples, nearest training images, trajectories, edited images."""
    input:
        samples=lambda w: [
            f"results/{w.experiment}/samples/{row.name}/seed{first_seed(w)}.npz"
            for row in shown_rows(w.experiment)
        ],
        flow=lambda w: flow_file(w.experiment, edited_flow(w.experiment), first_seed(w)),
        reverses=lambda w: [
            reverse_file(w.experiment, name, first_seed(w)) for name in edited_reverses(w.experiment)
        ],
    output:
        "results/{experiment}/report/images/samples.png",  # the others lie beside it
    log:
        "results/{experiment}/logs/plot_images.log",
    conda:
        "../../environment.yml"
    params:
        data=setting("data"),
        rows=lambda w: [plain(row) for row in shown_rows(w.experiment)],
        names=lambda w: edited_reverses(w.experiment),
        objectives=lambda w: objectives_of(w.experiment, edited_reverses(w.experiment)),
        seed=lambda w: first_seed(w),
        figures=lambda w: images_of(w.experiment),
        fingerprint=lambda w: fingerprint(
            code_of("plot_images"),
            [samples_print(w.experiment, row) for row in shown_rows(w.experiment)],
        ),
    script:
        "../scripts/plot_images.py"


rule report_experiment:
    """Write the tables, charts and page of one experiment."""
    input:
        measurements="results/{experiment}/measurements.csv",
        experiment="results/{experiment}/experiment.yaml",
        specs=ancient(SPECS),
        images=branch(
            lambda w: images_of(w.experiment),
            then="results/{experiment}/report/images/samples.png",
            otherwise=[],
        ),
    output:
        page="results/{experiment}/report/report.html",
        tables=directory("results/{experiment}/report/tables"),
        figures=directory("results/{experiment}/report/figures"),
    log:
        "results/{experiment}/logs/report_experiment.log",
    conda:
        "../../environment.yml"
    params:
        tables=lambda w: tables_of(w.experiment),
        images=lambda w: images_of(w.experiment),
        charts=lambda w: charts_of(w.experiment),
        fingerprint=lambda w: fingerprint(
            code_of("report_experiment"), measured_print(w.experiment), content(SPECS, TEMPLATE)
        ),
    script:
        "../scripts/report_experiment.py"


rule report_tables:
    """Join the experiments with the committed references: one long table, all tables, the claims."""
    input:
        measurements=expand("results/{experiment}/measurements.csv", experiment=ACTIVE.joined),
        references=ancient([source_path(f"results/reference/{name}/measurements.csv") for name in REFERENCES]),
        experiments=expand("results/{experiment}/experiment.yaml", experiment=ACTIVE.joined),
        specs=ancient(SPECS),
        claims=ancient(source_path("config/claims.yaml")),
        numbers=ancient(source_path("nfbench/report/paper_numbers.csv")),
    output:
        measurements="results/measurements.csv",
        tables=[f"results/{name}.{form}" for form in FORMS for name in TABLES],
        verdicts=[f"results/{name}_verdicts.csv" for name, spec in TABLES.items() if spec.verdicts],
        claims="results/claims.csv",
        evidence="results/claims_evidence.csv",
        claims_page="results/claims.md",
    log:
        "results/logs/report_tables.log",
    conda:
        "../../environment.yml"
    params:
        fingerprint=lambda w, input: joined_print("report_tables", input.references, input.claims),
    script:
        "../scripts/report_tables.py"


rule report_page:
    """Write results/report.html."""
    input:
        tables=[f"results/{name}.csv" for name in TABLES],
        claims="results/claims.csv",
        experiments=expand("results/{experiment}/experiment.yaml", experiment=ACTIVE.joined),
        pages=expand("results/{experiment}/report/report.html", experiment=ACTIVE.joined),
        images=[f"results/{name}/report/images/samples.png" for name in ACTIVE.joined if images_of(name)],
        specs=ancient(SPECS),
    output:
        report("results/report.html", category="Page"),
    log:
        "results/logs/report_page.log",
    conda:
        "../../environment.yml"
    params:
        fingerprint=lambda w: joined_print("report_page"),
    script:
        "../scripts/report_page.py"
