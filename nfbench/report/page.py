"""The report pages: text, tables and figures in one HTML file that needs no other."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from nfbench.files import atomic_path
from nfbench.measurements import THIS_RUN
from nfbench.report.cells import FEWEST_SEEDS, NOT_COMPARED
from nfbench.report.claims_page import counted
from nfbench.report.figures.catalogue import CAPTIONS
from nfbench.report.table_specs import TableSpec
from nfbench.report.table_text import MISSING, legend, number, printed

TEMPLATES = Path(__file__).with_name("templates")
SPACE_NAMES = {"effnet": "EfficientNet-Lite0", "classifier": "domain classifier"}
CLAIMS = {"claim": "Claim", "verdict": "Verdict", "seeds": "Seeds", "origin": "Origin", "device": "Device"}
PUBLISHED = "published"  # origin of papers' numbers
Figures = Mapping[str, str | Path]  # PNG by name


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; `name` in back quotes is set as code.

    Attributes:
        title: the heading.
        text: paragraphs.
        tables: (frame, caption); numbers are rounded, missing cells are dashes, and cells named in
            `frame.attrs["bold"]`, pairs of index and column, are bold.
        figures: (path of a PNG, caption).
    """

    title: str
    text: Sequence[str] = ()
    tables: Sequence[tuple[pd.DataFrame, str]] = ()
    figures: Sequence[tuple[str | Path, str]] = field(default=())


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write sections as one HTML file, whole or not at all."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"marked": _marked, "number": number, "words": _words, "base64": _base64}
    text = environment.get_template("page.html.j2").render(title=title, sections=sections, missing=MISSING)
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def _marked(text: str) -> Markup:
    """Escape a text, then set `name` in back quotes as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _base64(path: str | Path) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


def _words(frame: pd.DataFrame) -> set[str]:
    """Return the columns that are set flush left."""
    plain = {name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])}
    return frame.attrs.get("words", plain)


def experiment_sections(
    experiment: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    specs: Mapping[str, TableSpec],
    figures: Figures,
) -> list[Section]:
    """Write up one experiment.

    Args:
        experiment: resolved.
        tables: of `nfbench.report.tables.build` by name; empty ones are left out.
        specs: what the tables are, by name.
        figures: PNG by name.
    """
    tables = {name: frame for name, frame in tables.items() if len(frame)}
    origin = _origins(tables.values(), only=THIS_RUN)
    shown = [(path, f"{CAPTIONS[name]} {origin}") for name, path in figures.items()]
    text = [*compared(experiment), *_summary(tables.get("table1"))]
    sections = [
        Section("What is compared", text, _tables({k: tables[k] for k in ("table1",) if k in tables}, specs))
    ]
    if shown:
        sections.append(Section("Figures", figures=shown))
    others = {name: frame for name, frame in tables.items() if name != "table1"}
    sections += [Section(specs[name].title, tables=_tables({name: others[name]}, specs)) for name in others]
    return [*sections, provenance(tables.values())]


def summary_sections(
    experiments: Mapping[str, Mapping[str, Any]],
    tables: Mapping[str, pd.DataFrame],
    specs: Mapping[str, TableSpec],
    figures: Mapping[str, Figures],
    claims: pd.DataFrame,
) -> list[Section]:
    """Write up all experiments of a run, beside committed references, and the papers' claims.

    Args:
        experiments: resolved, by name.
        tables: of all experiments joined, by name, as built or as read from CSV; empty ones are left out.
        specs: what the tables are, by name.
        figures: PNG by experiment and name.
        claims: a line a claim, of `nfbench.report.claims.evaluate`.
    """
    tables = {name: frame for name, frame in tables.items() if len(frame)}
    text = [line for name in experiments for line in compared(experiments[name])]
    sections = [Section("What is compared", text)]
    sections += [Section(specs[name].title, tables=_tables({name: tables[name]}, specs)) for name in tables]
    for name, pictures in figures.items():
        own = [frame[frame["experiment"] == name] for frame in tables.values()]
        origin = _origins(own, only=THIS_RUN)
        shown = [(path, f"{CAPTIONS[figure]} {origin}") for figure, path in pictures.items()]
        sections.append(Section(f"Figures of {name}", figures=shown))
    return [*sections, claims_section(claims), provenance(tables.values())]


def compared(experiment: Mapping[str, Any]) -> list[str]:
    """Return in words what an experiment compares."""
    seeds, rows = experiment["seeds"], experiment["samplers"]
    text = f"Experiment `{experiment['experiment']}`: {len(rows)} rows, data `{experiment['data']['name']}`,"
    text += f" seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}."
    trained = [
        f"{kind} `{name}` ({model['training']['steps']} steps of {model['training']['batch_size']} images)"
        for kind, section in (("flow", "flows"), ("reverse", "reverses"))
        for name, model in experiment[section].items()
        if model["training"]["steps"]
    ]
    lines = [f"{text} Trained: {', '.join(trained)}." if trained else f"{text} All weights are random."]
    if quality := experiment["quality"]:
        lines.append(
            f"{experiment['sampling']['n_samples']} images of every sampler, from the same noise and labels,"
            f" are compared with {quality['n_reference']} training images by Frechet distances (FD) in"
            f" features of {', '.join(SPACE_NAMES.get(s, s) for s in quality['spaces'])}. FD is not FID,"
            " which is a name for Inception features; rows `real` are what real images score."
        )
        if len(seeds) < FEWEST_SEEDS:
            lines.append("With fewer than three seeds no order of the samplers is claimed.")
    return lines


def _summary(table: pd.DataFrame | None) -> list[str]:
    """Return the lowest distance of a sampler in each feature space, beside that of real images."""
    lines = []
    for space, title in SPACE_NAMES.items() if table is not None else ():
        if f"fd_{space}" not in table or f"fd_{space}_real" not in table:
            continue
        drawn = table[~table["sampler"].isin(("real", "real+noise", "class-means"))]
        distances = pd.to_numeric(drawn[f"fd_{space}"]).dropna()
        real = pd.to_numeric(table[f"fd_{space}_real"]).dropna()
        if len(distances) and len(real):
            best = drawn.loc[distances.idxmin(), "sampler"]
            lines.append(
                f"FD in features of {title}: real images {number(real.iloc[0])}; the lowest of a sampler"
                f" {number(distances.min())}, of `{best}`."
            )
    return lines


def _tables(
    tables: Mapping[str, pd.DataFrame], specs: Mapping[str, TableSpec]
) -> list[tuple[pd.DataFrame, str]]:
    """Return printed tables with captions that name their origin."""
    found = []
    for name, frame in tables.items():
        spec = specs[name]
        frame = _with_marks(frame, spec)
        columns, texts = printed(frame, spec)
        texts.attrs = {
            "bold": {(i, columns[c]) for i, c in frame.attrs["bold"] if c in columns},
            "words": {h for c, h in columns.items() if not pd.api.types.is_numeric_dtype(frame[c])},
        }
        caption = [f"`{name}`. {spec.title}.", spec.caption, legend(texts, frame), _origins([frame])]
        found.append((texts, " ".join(filter(None, caption))))
    return found


def _with_marks(frame: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """Return a table with the cells that must not be compared marked, also where it is read from CSV."""
    if frame.attrs:
        return frame
    frame = frame.copy()
    judged = {column.name for column in spec.columns if column.direction}
    notes = frame["notes"] if "notes" in frame else pd.Series("", frame.index)
    found = [(i, note.partition(": ")) for i, text in notes.fillna("").items() for note in text.split("; ")]
    marked = {(i, name) for i, (name, _, flag) in found if name in judged and flag in NOT_COMPARED}
    frame.attrs = {"bold": set(), "marked": marked}
    return frame


def _origins(tables: Iterable[pd.DataFrame], only: str | None = None) -> str:
    """Return where the rows of tables come from: this run or references, with devices and commits."""
    known: dict[str, tuple[dict, dict]] = {THIS_RUN: ({}, {})} if only == THIS_RUN else {}
    for row in (row for frame in tables for row in frame.to_dict("records")):
        origin = _text(row.get("origin")) or THIS_RUN
        if only in (None, origin):
            for seen, name in zip(known.setdefault(origin, ({}, {})), ("device", "commit"), strict=True):
                seen.update(dict.fromkeys(_text(row.get(name)).split("; ")))
    parts = []
    for origin, found in known.items():
        device, commit = (", ".join(filter(None, texts)) for texts in found)
        facts = ", ".join(filter(None, (device, commit and f"commit {commit}")))
        parts.append(f"{origin} ({facts})" if facts and origin != PUBLISHED else origin)
    return f"Origin: {'; '.join(parts)}."


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def claims_section(claims: pd.DataFrame) -> Section:
    """Write up what became of the papers' claims: a count of each verdict, and a line a claim."""
    shown = {name: heading for name, heading in CLAIMS.items() if name in claims}
    caption = "The rule of each verdict and every measurement behind it: `claims.md`."
    frame = claims[list(shown)].rename(columns=shown)
    return Section(
        "What the papers claim", [f"Of {len(claims)} claims: {counted(claims)}."], [(frame, caption)]
    )


def provenance(tables: Iterable[pd.DataFrame]) -> Section:
    """Return where every number comes from: the runs, their devices and commits."""
    text = (
        "Every number is a row of `measurements.csv`, with the file of the measuring job, its hash, device,"
    )
    return Section("What the numbers rest on", [f"{text} precision and commit.", _origins(tables)])
