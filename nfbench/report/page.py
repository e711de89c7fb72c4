"""The page results/report.html: text, tables and figures in one file that needs no other."""

import base64
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

STYLE = """
body { font: 16px/1.5 Georgia, "Times New Roman", serif; max-width: 52rem; margin: 2.5rem auto;
  padding: 0 1rem; color: #111; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 0 auto; font-size: .85rem; font-variant-numeric: tabular-nums;
  border-top: 2px solid #111; border-bottom: 2px solid #111; }
th { border-bottom: 1px solid #111; font-weight: normal; vertical-align: bottom; }
th, td { padding: .2rem .55rem; text-align: right; } th:first-child, td:first-child { text-align: left; }
td.words, th.words { text-align: left; }
figure { margin: 1.6rem 0; overflow-x: auto; } figure img { max-width: 100%; display: block; margin: 0 auto; }
figcaption { font-size: .87rem; color: #333; margin: .5rem 0; } table + figcaption { margin-top: .6rem; }
code { font-size: .88em; } .missing { color: #777; }
"""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, HTML already."""

    title: str
    blocks: Sequence[str]


def page(title: str, sections: Sequence[Section]) -> str:
    """Return the whole document."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    for number, section in enumerate(sections, 1):
        body += [f"<h2>{number}. {html.escape(section.title)}</h2>", *section.blocks]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def paragraph(text: str) -> str:
    """Return a paragraph; `name` in back quotes, one or two, is set as code."""
    return f"<p>{_marked(text)}</p>"


def items(lines: Sequence[str]) -> str:
    """Return a list, marked up as paragraphs are."""
    return "<ul>\n" + "\n".join(f"<li>{_marked(line)}</li>" for line in lines) + "\n</ul>"


def table(rows: pd.DataFrame, headers: Mapping[str, str], caption: str) -> str:
    """Return some columns of a table, numbers to three digits; a missing cell is a dash.

    Args:
        headers: {column: its heading}, in order; a column that the table lacks is left out.
    """
    columns = [column for column in headers if column in rows and rows[column].notna().any()]
    words = {column for column in columns if not pd.api.types.is_numeric_dtype(rows[column])}
    kinds = {column: ' class="words"' if column in words else "" for column in columns}
    lines = ["".join(f"<th{kinds[column]}>{html.escape(headers[column])}</th>" for column in columns)]
    for row in rows[columns].itertuples(index=False):
        lines.append("".join(_cell(value, kinds[name]) for name, value in zip(columns, row, strict=True)))
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<figure><table>\n{body}\n</table>\n<figcaption>{_marked(caption)}</figcaption></figure>"


def image(path: str | Path, caption: str) -> str:
    """Return a PNG, within the page itself."""
    data = base64.b64encode(Path(path).read_bytes()).decode()
    alt = html.escape(caption.split(".")[0])
    return (
        f'<figure><img alt="{alt}" src="data:image/png;base64,{data}">'
        f"<figcaption>{_marked(caption)}</figcaption></figure>"
    )


def caption_of(path: str | Path, experiment: str) -> str:
    """Return a caption that the workflow's own report uses, for one experiment."""
    text = " ".join(Path(path).read_text().split())
    return text.replace("{{ snakemake.wildcards.experiment }}", experiment)


def number(value: float) -> str:
    """Return a number to three digits, without an exponent where it can be read so."""
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"


def _cell(value: object, kind: str) -> str:
    if pd.isna(value):
        return '<td class="missing">–</td>'
    return f"<td{kind}>{html.escape(number(value) if isinstance(value, float) else str(value))}</td>"


def _marked(text: str) -> str:
    return re.sub(r"`{1,2}([^`]+)`{1,2}", r"<code>\1</code>", html.escape(text))
