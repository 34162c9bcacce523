"""What perturbing genes did, before any statistics."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_geneformer.plotting.changes import change_bars

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def perturbation_effects(
    effects: "pd.DataFrame | str | os.PathLike[str]",
    path: str | Path | None = None,
    *,
    goal: str | None = None,
    vocabulary: Any = None,
    number: int = 20,
    title: str = "",
) -> "Axes":
    """Draws the genes whose perturbation moves cells most, the mean over cells with its error.

    Args:
        effects: what `perturb`, `perturb_merge` or `read_effects` returns, or the path of its
            parquet file.
        path: a png to write. Default: none.
        goal: a state: bars are shifts towards it. Default: 1 - the cosine to the original cell.
        vocabulary: the `GeneVocabulary`, for symbols; without it, bars have gene ids.
        number: how many genes at most, those with the largest effects of either sign.
        title: above the picture.

    Returns:
        The matplotlib Axes. Lines are one standard error over cells: no test, see
        `perturbation_stats`.

    Raises:
        ValueError: if the effects hold no such measure.
        ImportError: if matplotlib is not installed.
    """
    # Here, for only this picture reads files of effects.
    from keras_geneformer.analysis.perturbation.effect_summary import (
        effect_summary,
        strongest_genes,
    )

    genes, words = strongest_genes(effect_summary(effects), goal)
    bars = genes.assign(
        name=[_symbols(gene, vocabulary) for gene in genes["gene"]], error=genes["error"].fillna(0)
    )
    return change_bars(
        bars,
        path,
        gene="name",
        value="effect",
        error="error",
        number=number,
        title=title,
        xlabel=words,
    )


def _symbols(gene: str, vocabulary: Any) -> str:
    """Symbols of one gene or several perturbed together; ids where they are not known."""
    if vocabulary is None:
        return gene
    ids = gene.split("+")
    tokens = np.asarray(vocabulary.tokens_of(ids))
    return "+".join(map(str, vocabulary.symbols_of(tokens))) if tokens.min() >= 0 else gene
