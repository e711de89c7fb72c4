rule rebuild_fashion14:
    """Pool the original Fashion-MNIST files to 14x14 again; the arrays must equal the embedded ones."""
    output:
        "results/fashion14/data/fashion14.npz",
    log:
        "results/fashion14/logs/rebuild_fashion14.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/rebuild_fashion14.py"
