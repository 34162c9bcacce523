"""From a cell's counts to its tokens: how rank value encoding orders genes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    SMALL,
    clipped,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = (
    ("counts", "counts", 2.3, "{:,.0f}"),
    ("scaled", "per\n10,000", 2.83, "{:,.1f}"),
    ("median", "/ gene's\nmedian", 3.34, "{:.2f}"),
    ("value", "= rank\nvalue", 3.8, "{:.2f}"),
    ("token", "token\nid", 4.25, "{:d}"),
)
"""Column of the table, what stands above it, its right end in the picture, and its format."""
_RIGHT = 1.0
"""Where lines end, of a picture whose lines begin at 0."""
_REST = 2.3
"""Rows into which the ranks of all further genes are pressed."""


def rank_value_encoding(
    adata: Any,
    path: str | Path | None = None,
    *,
    vocabulary: Any,
    cell: int | str = 0,
    gene_key: str | None = "ensembl_id",
    n_counts_key: str | None = "n_counts",
    number: int = 12,
    title: str = "",
) -> "Axes":
    """Draws how one cell's genes are reordered: by counts on the left, as its tokens on the right.

    Each gene's counts are divided by the cell's total and multiplied by 10,000, divided by the
    gene's nonzero median, and ordered by that: the numbers stand beside the tokens. A green line is
    a gene that rises, a red one a gene that falls; the ranks of all further genes lie pressed
    together below.

    Args:
        adata: an AnnData with raw counts, as `RankValueTokenizer` takes it.
        path: a png to write. Default: none.
        vocabulary: the `GeneVocabulary`.
        cell: the number or the name of the cell.
        gene_key, n_counts_key: as `RankValueTokenizer` takes them.
        number: how many genes of each order are drawn.
        title: above the picture.

    Returns:
        The matplotlib Axes.

    Raises:
        KeyError: there is no cell of the name.
        ValueError: the cell cannot be tokenized (see `RankValueTokenizer`).
        ImportError: if matplotlib is not installed.

    Example:
        >>> from keras_geneformer import plotting
        >>> from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
        >>> axes = plotting.rank_value_encoding(
        ...     synthetic_cells(3), vocabulary=tiny_vocabulary(), cell="cell1")
    """
    row = adata.obs_names.get_loc(cell) if isinstance(cell, str) else cell
    table = _encoded(adata[[row]], vocabulary, gene_key, n_counts_key)
    number = min(number, len(table))
    by_counts = np.lexsort((table["token"], -table["counts"]))
    places = np.empty(len(table), dtype=np.int64)
    places[by_counts] = np.arange(len(table))
    rest = _REST if len(table) > number else 0.0
    axes = empty_picture(0.75 + 0.22 * (number + rest), title, square=True)
    axes.set_xlim(-1.12, 4.28)
    axes.set_ylim(number + rest, -1.9)
    axes.set_xticks([])
    axes.set_yticks([])
    for token, place in enumerate(places.tolist()):
        if min(token, place) < number:
            _draw_line(axes, place, token, number, len(table))
    for place, gene in enumerate(table.iloc[by_counts[:number]].to_dict("records")):
        _say(axes, -0.48, place, clipped(gene["name"], 11), "right")
        _say(axes, -0.08, place, f"{gene['counts']:,.0f}", "right")
    for place, gene in enumerate(table.head(number).to_dict("records")):
        _say(axes, _RIGHT + 0.08, place, clipped(gene["name"], 11), "left")
        for column, _, end, shown in _COLUMNS:
            _say(axes, end, place, shown.format(gene[column]), "right")
    heads = [(-0.08, "most\ncounts", "right"), (_RIGHT + 0.08, "first\ntokens", "left")]
    heads += [(end, text, "right") for _, text, end, _ in _COLUMNS]
    for x, text, ha in heads:
        axes.text(x, -0.8, text, ha=ha, va="baseline", fontsize=SMALL, color=QUIET)
    axes.axhline(-0.6, color=RULE, linewidth=0.8)
    if rest:
        axes.axhline(number - 0.4, color=RULE, linewidth=0.8)
        middle = number + rest / 2 - 0.2
        _say(axes, -0.08, middle, f"{number + 1}th to {len(table)}th", "right", QUIET)
        _say(axes, _RIGHT + 0.08, middle, f"{number + 1}th to {len(table)}th", "left", QUIET)
    return finished(axes, path)


def _encoded(one: Any, vocabulary: Any, gene_key: str | None, key: str | None) -> pd.DataFrame:
    """A row a token of the cell, in their order: name, counts, scaled, median, value, token."""
    from keras_geneformer.tokenization.cell_totals import stated_totals
    from keras_geneformer.tokenization.ranking import TARGET_COUNTS
    from keras_geneformer.tokenization.readers.sources import opened
    from keras_geneformer.tokenization.tokenizer import RankValueTokenizer

    cells = RankValueTokenizer(vocabulary)(one, gene_key, key, keep_counts=True)
    assert cells.counts is not None
    with opened(one, None) as source:
        totals, _ = stated_totals(source, key)
    total = float(one.X.sum() if totals is None else totals[0])
    ids = np.asarray(cells[0])
    positions = vocabulary.positions_of(vocabulary.genes_of(ids))
    genes = positions >= 0  # <cls> and <eos> are none
    ids, scaled = ids[genes], np.asarray(cells.counts[0], dtype=np.float64)[genes]
    medians = vocabulary.medians[positions[genes]]
    return pd.DataFrame(
        {
            "name": vocabulary.symbols_of(ids),
            "counts": scaled * total / TARGET_COUNTS,
            "scaled": scaled,
            "median": medians,
            "value": scaled / medians,
            "token": ids,
        }
    )


def _draw_line(axes: Any, left: int, right: int, number: int, genes: int) -> None:
    def height(rank: int) -> float:
        """Further genes by the logarithm of their rank: most that fall stay near."""
        if rank < number:
            return rank
        return number + (_REST - 0.4) * np.log(rank / number) / np.log(genes / number)

    axes.plot(
        [0.0, _RIGHT],
        [height(left), height(right)],
        color=COLOURS[2] if right < left else COLOURS[1] if right > left else QUIET,
        linewidth=1.1,
        alpha=0.8,
        solid_capstyle="round",
    )


def _say(axes: Any, x: float, y: float, text: str, ha: str, colour: str = INK) -> None:
    axes.text(x, y, text, ha=ha, va="center", fontsize=SMALL, color=colour)
