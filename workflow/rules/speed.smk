# The protocol of speed and table 4, on request: snakemake speed


localrules:
    speed,


rule speed:
    """Table 4 and its figures, on request: they take the machine for themselves."""
    input:
        "results/table4.csv",
        "results/table4.md",
        expand(
            "results/figures/{experiment}/speedup.{suffix}",
            experiment=JOINED,
            suffix=["png", "pdf"],
        ),


rule measure_protocol:
    """Time every sampler in several processes in random order, one of them against itself."""
    input:
        files=protocol_files,
        code=library(
            *(
                f"nfbench/measure/{name}.py"
                for name in ("machine", "memory", "nvml", "protocol", "speed", "work")
            )
        )
        + library("nfbench/rounds.py")
        + INVERSE_CODE
        + REVERSE_CODE,
        suite=library("tests/conftest.py", "tests/speed/conftest.py", "tests/speed/test_protocol.py"),
    output:
        "results/{experiment}/measure/protocol.json",
    log:
        "results/{experiment}/logs/measure_protocol.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        settings=setting("speed", "protocol"),
        contestants=protocol_contestants,
        device=setting("device"),
    script:
        "../scripts/measure_protocol.py"


rule report_speed:
    """Turn the processes of the protocol into one row a sampler, batch size and scale of guidance."""
    input:
        protocol="results/{experiment}/measure/protocol.json",
        code=library("nfbench/rounds.py", "nfbench/report/speed_table.py"),
    output:
        csv="results/{experiment}/report/speed.csv",
    log:
        "results/{experiment}/logs/report_speed.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/report_speed.py"


rule report_table4:
    """Put this machine's speed beside that of the references and the published one."""
    input:
        tables=expand("results/{experiment}/report/speed.csv", experiment=JOINED),
        references=speed_references(),
        code=library("nfbench/rounds.py", "nfbench/report/speed_table.py", "nfbench/report/table4.py"),
    output:
        csv=report(
            "results/table4.csv",
            caption="../report/table4.rst",
            category="Tables",
            labels={"table": "Table 4", "form": "CSV"},
        ),
        markdown="results/table4.md",
        origin="results/table4_origin.json",
    log:
        "results/logs/report_table4.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/report_table4.py"


rule plot_speedup:
    """Draw the speed-up over the fastest exact inverse against the batch size."""
    input:
        table="results/{experiment}/report/speed.csv",
        code=REPORT_CODE,
    output:
        png=figure_output("speedup", "speedup"),
        pdf="results/figures/{experiment}/speedup.pdf",
    log:
        "results/{experiment}/logs/plot_speedup.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_speedup.py"


rule keep_speed:
    """Copy an experiment's table and figure of speed, with a manifest, to where they are committed."""
    input:
        csv="results/{experiment}/report/speed.csv",
        protocol="results/{experiment}/measure/protocol.json",
        figures=expand("results/figures/{{experiment}}/speedup.{suffix}", suffix=["png", "pdf"]),
    output:
        csv="results/reference/{experiment}-{device}/speed.csv",
        figures=expand(
            "results/reference/{{experiment}}-{{device}}/speed_figures/speedup.{suffix}",
            suffix=["png", "pdf"],
        ),
        manifest="results/reference/{experiment}-{device}/speed.json",
    log:
        "results/{experiment}/logs/keep_speed/{device}.log",
    wildcard_constraints:
        device="cpu|cuda|h100|h200",
    conda:
        "../../environment.yml"
    params:
        config=lambda w: EXPERIMENTS[w.experiment],
    script:
        "../scripts/keep_speed.py"
