"""What the page results/report.html says: the sections of a paper's experiments, written from the tables."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from nfbench.report.figures import SPACE_TITLES
from nfbench.report.page import Section, caption_of, image, items, number, paragraph, table

SPACES = ("effnet", "classifier")

TABLE_1 = {
    "contestant": "sampler",
    "nfe": "NFE",
    "score_evaluations": "score eval.",
    "fd_effnet": "FD EfficientNet ↓",
    "fd_effnet_std": "±",
    "fd_classifier": "FD classifier ↓",
    "fd_classifier_std": "±",
    "fd_effnet_reconstruction": "FD EfficientNet, reconstructed ↓",
    "fd_classifier_reconstruction": "FD classifier, reconstructed ↓",
    "label_accuracy": "label acc. ↑",
    "ms_per_image_batch1": "ms, batch 1 ↓",
    "images_per_second_batch64": "images/s, batch 64 ↑",
    "speedup_batch1": "speed-up, 1 ↑",
    "speedup_batch64": "speed-up, 64 ↑",
}
COMPARISON = {
    "contestant": "sampler",
    "factor": "factor",
    "fd_effnet": "FD EfficientNet ↓",
    "fd_effnet_std": "±",
    "kid_effnet": "KID EfficientNet ↓",
    "fd_classifier": "FD classifier ↓",
    "fd_classifier_std": "±",
    "label_accuracy": "label acc. ↑",
    "seen_spaces": "seen by the loss",
    "paper_fid": "paper's FID (ImageNet 256)",
}
EDITING = {
    "task": "task",
    "mask": "mask",
    "sampler": "sampler",
    "kept_mse_median": "kept, median MSE ↓",
    "kept_mse_pasted": "kept, pasted ↓",
    "hidden_mse_median": "hidden, median MSE ↓",
    "label_accuracy": "label acc. ↑",
    "leak": "leak",
}

CLAIMS = {"claim": "claim", "verdict": "verdict", "seeds": "seeds", "device": "device"}


def contestants(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a column `contestant`: the sampler's name with its variant."""
    variant = rows["variant"].fillna("") if "variant" in rows else pd.Series("", index=rows.index)
    names = [
        f"{name} ({each})" if each else name for name, each in zip(rows["sampler"], variant, strict=True)
    ]
    return rows.assign(contestant=names)


def experiment_section(rows: pd.DataFrame, figures: Mapping[str, Path], captions: Path) -> Section:
    """Write up one experiment of table 1.

    Args:
        rows: of one experiment.
        figures: {name: PNG}.
        captions: the folder of the workflow's captions.
    """
    experiment = str(rows["experiment"].iloc[0])
    blocks = [paragraph(_setting_of(rows)), *map(paragraph, _floors(rows))]
    caption = (
        "Means over seeds. FD: Fréchet distance, not FID, which is a name for Inception features; ± the"
        " standard deviation over seeds, where there are several. NFE: serial network evaluations, over the"
        " number of flow blocks. Speed-ups are against `speedup_baseline`: "
        + ", ".join(f"`{name}`" for name in rows["speedup_baseline"].dropna().unique())
        + ". Reconstructed: held-out images through the flow to noise and back through a learned reverse."
        " A dash was not measured."
    )
    blocks.append(table(contestants(rows), TABLE_1, caption))
    notes = [
        f"`{row.contestant}`: {row.notes}." for row in contestants(rows).itertuples() if _said(row.notes)
    ]
    blocks += [items(notes)] if notes else []
    for name, path in figures.items():
        blocks.append(image(path, caption_of(captions / f"{name}.rst", experiment)))
    return Section(f"Quality and speed: {experiment}", blocks)


def comparison_section(title: str, rows: pd.DataFrame, verdicts: list[str], source: str) -> Section:
    """Write up table 2 or 3.

    Args:
        verdicts: in words, one sentence a pair.
        source: where the table comes from, and on what device.
    """
    first = rows.iloc[0]
    caption = (
        f"Experiment `{first['experiment']}`, seeds {first['seeds']}, n = {first['n_samples']};"
        " ± the standard deviation over seeds. Real images score"
        f" {number(first['fd_effnet_floor'])} (EfficientNet) and {number(first['fd_classifier_floor'])}"
        f" (classifier) at the same number. The paper's numbers are of other images and features. {source}"
    )
    published = [line for line in verdicts if ", as published:" in line]
    blocks = [table(contestants(rows), COMPARISON, caption)]
    if published:
        blocks += [
            paragraph(
                "What the paper finds, and whether it holds here, by a paired t-test over seeds at the 5%"
                " level; differences are first minus second, ± their standard deviation over seeds:"
            ),
            items(published),
        ]
    return Section(title, blocks)


def figures_section(title: str, text: str, figures: list[tuple[Path, str]]) -> Section:
    """Write up figures with their captions."""
    return Section(title, [paragraph(text), *(image(path, caption) for path, caption in figures)])


def editing_block(rows: pd.DataFrame) -> str:
    """Return the table of edited images."""
    caption = (
        "Inpainting and class editing of held-out images through the noise, without training. Medians over"
        " images of the squared error, in [-1, 1] units; `leak` is the largest change of any result when all"
        " hidden pixels have other values."
    )
    return table(rows, EDITING, caption)


def claims_section(rows: pd.DataFrame, path: str) -> Section:
    """Write up what became of the papers' claims.

    Args:
        rows: of results/claims.csv.
    """
    counts = rows["verdict"].str.split(" (", regex=False).str[0].value_counts()
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    caption = f"The rule of each verdict and every measurement behind it: `{Path(path).with_suffix('.md')}`."
    return Section(
        "What the papers claim", [paragraph(f"Of {len(rows)} claims: {said}."), table(rows, CLAIMS, caption)]
    )


def provenance_section(rows: pd.DataFrame, sources: Mapping[str, str]) -> Section:
    """Say what the page's numbers come from.

    Args:
        rows: of table 1.
        sources: {what: file}.
    """
    commits = sorted({part for cell in rows["commit"].dropna() for part in str(cell).split()})
    devices = ", ".join(rows["device"].dropna().unique())
    lines = [f"{name}: `{path}`" for name, path in sources.items()]
    text = f"Device: {devices}. Precision: {', '.join(rows['precision'].dropna().unique())}. Commits: " + (
        ", ".join(f"`{commit}`" for commit in commits)
        + ". Every measurement's own file, with its provenance,"
        " lies under `results/{experiment}/measure`."
    )
    return Section("What the numbers rest on", [paragraph(text), items(lines)])


def _setting_of(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    seeds = str(first["seeds"]).split()
    said = f"{first['n_samples']} images of every sampler, from the same noise and labels, are compared with"
    said += f" {first['n_reference']:.0f} training images, at {len(seeds)} seed{'s' * (len(seeds) > 1)}."
    said += f" The forward flow trained for {number(first['train_seconds_forward'])} s"
    learned = rows.dropna(subset=["train_seconds_reverse"])
    reverses = [f"`{row.sampler}` for {number(row.train_seconds_reverse)} s" for row in learned.itertuples()]
    return said + (f"; the reverse models {', '.join(reverses)}." if reverses else ".")


def _floors(rows: pd.DataFrame) -> list[str]:
    said = []
    for space in SPACES:
        column = f"fd_{space}"
        if column not in rows or rows[column].isna().all():
            continue
        first, best = rows.iloc[0], contestants(rows).loc[rows[column].idxmin()]
        said.append(
            f"{SPACE_TITLES[space]}: real test images are at {number(first[f'{column}_floor'])}, with the"
            f" flow's training noise at {number(first[f'{column}_floor_noisy'])}. The lowest distance of a"
            f" sampler is {number(best[column])}, that of `{best['contestant']}`."
        )
    if len(str(rows.iloc[0]["seeds"]).split()) < 3:
        said.append("With fewer than three seeds no order of the samplers is claimed.")
    return said


def _said(cell: object) -> bool:
    return isinstance(cell, str) and bool(cell)
