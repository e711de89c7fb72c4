"""Print a table as LaTeX and as compact Markdown, ready to paste."""

from nfbench.job import job
from nfbench.report.paper_tables import write_paper_latex, write_paper_markdown
from nfbench.report.tables import read_table

with job(snakemake.log[0]) as report:
    rows, table = read_table(snakemake.input.csv), snakemake.wildcards.printed
    write_paper_latex(snakemake.output.latex, rows, table)
    write_paper_markdown(snakemake.output.markdown, rows, table)
    report(f"{len(rows)} rows")
