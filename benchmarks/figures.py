"""The pictures of docs/performance.md, drawn from the tables of benchmarks/README.md.

    python benchmarks/figures.py                      # into docs/images
    python benchmarks/figures.py --images elsewhere

| file | tables (section) |
|---|---|
| performance-embedding.png | forward (The V1 model against `transformers`) |
| performance-training.png | both (A pretraining step against `transformers`' Trainer) |
| performance-perturbation.png | both (Deleting genes against the published way) |
| performance-compression.png | ways (Smaller models) |
| performance-tokenizing.png | files (Tokenizing) |
| model-summary.png | none: the model of the size v1_10m, from random weights |

No number stands in this file. Measure again, change the tables, and run it: the pictures follow.
"""

import sys

if __name__ == "__main__":
    # Beside this file lies a tokenize.py, which is not the standard library's.
    sys.path.pop(0)

import argparse
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    SMALL,
    TEXT,
    empty_panels,
    finished,
)

HERE = Path(__file__).resolve().parent
ENGINES = {
    "openvino": COLOURS[6],
    "openvino-int8": COLOURS[2],
    "tensorflow": COLOURS[0],
    "torch": COLOURS[1],
    "jax": COLOURS[3],
}
"""Colours of engines; any other bar is a peer's, and grey."""

_PEER = "#b4bac5"


def read_tables(text: str) -> dict[str, list[pd.DataFrame]]:
    """The markdown tables of a page, by the heading that they stand under.

    The first column becomes the index, named as its heading; all cells are text.

    Example:
        >>> tables = read_tables("## Speed\\n\\n| way | s |\\n|---|---|\\n| ours | 0.5 |\\n")
        >>> tables["Speed"][0].loc["ours", "s"]
        '0.5'
    """
    found: dict[str, list[pd.DataFrame]] = {}
    heading, rows = "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            table = pd.DataFrame(rows[2:], columns=rows[0])
            found.setdefault(heading, []).append(table.set_index(rows[0][0]))
            rows = []
        if line.startswith("#"):
            heading = line.lstrip("#").strip()
    return found


def number(cell: str) -> float:
    """A cell as a number: without x, %, commas and stars; NaN where it is empty.

    Example:
        >>> number("**1,024**"), number("2.79x"), number(".776")
        (1024.0, 2.79, 0.776)
    """
    text = cell.strip("*x% ").replace(",", "")
    return float(text) if text else float("nan")


def machine(text: str, heading: str) -> str:
    """The machine that a section names, or else the first that the page does."""
    start = text.index(f"## {heading}")
    end = text.find("\n## ", start + 1)
    own = re.search(r"Machine: ([^.(]+)", text[start : end if end > 0 else None])
    named = own or re.search(r"Machine: ([^.(]+)", text)
    assert named is not None
    return re.sub(r"\s+", " ", named.group(1).replace("**", "")).strip(" ,")


def engines(table: pd.DataFrame, ratio: str, notes: dict[str, str]) -> pd.DataFrame:
    """Ratio to the peer of the same run, and a note, of each engine and of the (first) peer.

    Args:
        table: one row an engine; rows of a second run of the peer are left out.
        ratio: the column of ratios.
        notes: columns and the text that each becomes, `{}` being the cell.
    """
    kept = table[~table.index.str.contains("second run")]
    said = [
        ", ".join(text.format(row[column]) for column, text in notes.items())
        for _, row in kept.iterrows()
    ]
    return pd.DataFrame({"ratio": kept[ratio].map(number), "note": said}, index=kept.index)


def ratio_bars(
    tables: dict[str, pd.DataFrame], path: Path | None, *, title: str, xlabel: str, below: str
) -> np.ndarray:
    """Bars of ratios, a panel a table, longest on top, the peer in grey.

    Args:
        tables: by the heading of the panel, as `engines` gives them.
        path: a png to write; None writes nothing.
        title: above the picture.
        xlabel: what the ratio is.
        below: under the picture: where it was measured.

    Returns:
        The matplotlib Axes, one a panel.
    """
    heights = [0.35 + 0.25 * len(table) for table in tables.values()]
    panels = empty_panels(
        1.15 + sum(heights), title, len(tables), sharex=True, height_ratios=heights
    )[:, 0]
    longest = max(table["ratio"].max() for table in tables.values())
    for axes, (heading, table) in zip(panels, tables.items()):
        table = table.sort_values("ratio", ascending=False, kind="stable")
        places = np.arange(len(table))
        colours = [ENGINES.get(name, _PEER) for name in table.index]
        axes.barh(places, table["ratio"], color=colours, height=0.74)
        for place, (ratio, note) in enumerate(zip(table["ratio"], table["note"])):
            axes.annotate(
                f"{ratio:.2f}x  {note}", (ratio, place), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=SMALL, color=INK,
            )  # fmt: skip
        axes.axvline(1, color=QUIET, linewidth=0.8)
        axes.set_yticks(places, table.index.tolist(), fontsize=SMALL)
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.set_xlim(0, longest * 1.75)
        axes.set_xticks(np.arange(0, longest + 1, 1 if longest < 5 else 2))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=RULE, linewidth=0.8)
        if heading:
            axes.set_title(heading, fontsize=SMALL, color=QUIET, loc="left")
    panels[-1].set_xlabel(xlabel, fontsize=TEXT, color=INK)
    _say_below(panels[0], below)
    return finished(panels, path)


def draw_embedding(text: str, path: Path | None) -> np.ndarray:
    """Cells a second to the second-to-last layer."""
    heading = "The V1 model against `transformers`"
    (table,) = [one for one in read_tables(text)[heading] if one.index.name == "forward"]
    notes = {"s a cell": "({} s a cell", "peak GB": "{} GB)"}
    return ratio_bars(
        {"": engines(table, "speed against transformers", notes)},
        path,
        title="Embedding cells, 2,048 tokens each",
        xlabel="speed / transformers in the same run",
        below=machine(text, heading),
    )


def draw_training(text: str, path: Path | None) -> np.ndarray:
    """Real tokens a second of a pretraining step."""
    heading = "A pretraining step against `transformers`' Trainer"
    notes = {"real tokens/s": "({} tokens/s", "peak GB": "{} GB)"}
    tables = {
        str(table.index.name): engines(table, "against transformers", notes)
        for table in read_tables(text)[heading]
    }
    return ratio_bars(
        tables,
        path,
        title="Pretraining, a step of masked-gene learning",
        xlabel="real tokens a second / transformers' Trainer in the same run",
        below=machine(text, heading),
    )


def draw_perturbation(text: str, path: Path | None) -> np.ndarray:
    """Genes deleted a second."""
    heading = "Deleting genes against the published way"
    notes = {"s a gene": "({} s a gene", "peak GB": "{} GB)"}
    tables = {
        str(table.index.name): engines(table, "speed", notes)
        for table in read_tables(text)[heading]
    }
    return ratio_bars(
        tables,
        path,
        title="Deleting genes one at a time",
        xlabel="speed / transformers in the same run",
        below=machine(text, heading),
    )


def draw_tokenizing(text: str, path: Path | None) -> np.ndarray:
    """Cells a second from h5ad files to a dataset."""
    heading = "Tokenizing"
    table = read_tables(text)[heading][0]
    rates = table["cells/s"].map(number).to_numpy()
    peer = table.index.str.contains("helical")
    names = [
        name if theirs else f"{name}, {processes} process{'es' * (processes != '1')}"
        for name, processes, theirs in zip(table.index, table["processes"], peer)
    ]
    bars = pd.DataFrame(
        {
            "ratio": rates / rates[peer],
            "note": [f"({rate} cells/s)" for rate in table["cells/s"]],
        },
        index=names,
    )
    panels = ratio_bars(
        {"": bars},
        None,
        title="Tokenizing, from h5ad files to a dataset on disk",
        xlabel="cells a second / helical's in the same run",
        below=machine(text, heading),
    )
    for bar, theirs in zip(panels[0].patches, np.sort(~peer)[::-1]):
        bar.set_color(ENGINES["tensorflow"] if theirs else _PEER)
    return finished(panels, path)


def draw_compression(text: str, path: Path | None) -> np.ndarray:
    """Size and accuracy of smaller models, beside the model that they were made of."""
    heading = "Smaller models"
    table = read_tables(text)[heading][0]
    size, accuracy = (table[name].map(number) for name in ("weights, MB", "accuracy"))
    panels = empty_panels(
        1.2 + 0.24 * len(table), "geneformer_mini made smaller", columns=2, sharey=True
    )[0]
    places = np.arange(len(table))
    whole = [float(size.iloc[0]), float(accuracy.iloc[0])]
    colours = [_PEER if place == 0 else COLOURS[0] for place in places]
    panels[0].barh(places, size / whole[0], color=colours, height=0.7)
    panels[1].hlines(places, whole[1], accuracy, color=COLOURS[1], linewidth=2, alpha=0.5)
    panels[1].scatter(accuracy, places, color=colours, s=24, zorder=3)
    for axes, values, texts in zip(
        panels, (size / whole[0], accuracy), (table["weights, MB"] + " MB", table["accuracy"])
    ):
        for place, (value, said) in enumerate(zip(values, texts)):
            # On the far side of the line to the whole model, where there is one.
            side = -1 if axes is panels[1] and value < whole[1] else 1
            axes.annotate(
                said, (value, place), xytext=(5 * side, 0), textcoords="offset points",
                ha="left" if side > 0 else "right", va="center", fontsize=SMALL, color=INK,
            )  # fmt: skip
        axes.grid(axis="x", color=RULE, linewidth=0.8)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(places, table.index.tolist(), fontsize=SMALL)
    panels[0].set_ylim(len(table) - 0.4, -0.6)
    panels[0].set_xlim(0, 1.75)
    panels[0].set_xticks([0, 0.5, 1])
    panels[0].set_xlabel("weights / float32", fontsize=TEXT, color=INK)
    panels[1].axvline(whole[1], color=QUIET, linewidth=0.8)
    panels[1].set_xlim(0.2, 1.0)
    panels[1].set_xticks([0.4, 0.6, 0.8])
    panels[1].set_xlabel("accuracy", fontsize=TEXT, color=INK)
    cells = re.search(r"[\d,]+ test cells", text[text.index(f"## {heading}") :])
    assert cells is not None
    _say_below(panels[0], f"{cells.group()}; {machine(text, heading)}")
    return finished(panels, path)


def draw_model(path: Path | None) -> Any:
    """The smallest published model, its shapes and its weights."""
    import keras_geneformer as kg
    from keras_geneformer.models.sizes import SIZES

    model = kg.GeneformerMaskedLM(kg.GeneformerBackbone(**SIZES["v1_10m"]))
    return kg.plotting.model_summary(model, path)


def _say_below(axes: Any, text: str) -> None:
    wrapped = textwrap.fill(f"measured on {text}", 88)
    axes.figure.supxlabel(wrapped, x=0.02, ha="left", fontsize=SMALL, color=QUIET)


PICTURES = {
    "performance-embedding.png": draw_embedding,
    "performance-training.png": draw_training,
    "performance-perturbation.png": draw_perturbation,
    "performance-compression.png": draw_compression,
    "performance-tokenizing.png": draw_tokenizing,
}


def main() -> None:
    """Draws all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, default=HERE.parent / "docs" / "images")
    options = parser.parse_args()
    text = (HERE / "README.md").read_text(encoding="utf-8")
    for name, draw in PICTURES.items():
        draw(text, options.images / name)
        print(options.images / name)
    draw_model(options.images / "model-summary.png")
    print(options.images / "model-summary.png")


if __name__ == "__main__":
    main()
