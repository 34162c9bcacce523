"""The table of genes of formats that have ids and symbols, but no columns that we would know."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

_GENOME = re.compile(r"\w+_(?=ENS)", re.IGNORECASE)
_ENSEMBL = re.compile(r"(\w+_)?ENS[A-Z]*G\d+(\.\d+)?", re.IGNORECASE)


def gene_table(
    ids: Sequence[str] | np.ndarray, symbols: Sequence[str] | np.ndarray | None = None
) -> pd.DataFrame:
    """A var with the columns where genes are looked for.

    Args:
        ids: the id of each gene, by which the table is indexed.
        symbols: the symbol of each gene.

    Returns:
        Columns `gene_ids`, `symbol` (where known), and `ensembl_id` where most ids are such. A
        genome before an id, as Cell Ranger writes for several genomes ("GRCh38_ENSG…"), is left
        out of `ensembl_id`.

    Example:
        >>> gene_table(["ENSG00000141510"], ["TP53"]).iloc[0].tolist()
        ['ENSG00000141510', 'TP53', 'ENSG00000141510']
    """
    index = pd.Index(np.asarray(ids, dtype=object), dtype=object)
    table = pd.DataFrame({"gene_ids": index.to_numpy()}, index=index)
    if symbols is not None:
        table["symbol"] = np.asarray(symbols, dtype=object)
    if are_ensembl_ids(ids):
        table["ensembl_id"] = [_GENOME.sub("", str(text), count=1) for text in ids]
    return table


def are_ensembl_ids(ids: Sequence[str] | np.ndarray) -> bool:
    """Whether most of these are Ensembl gene ids, of any species."""
    like = sum(_ENSEMBL.fullmatch(str(text)) is not None for text in ids)
    return 2 * like > len(ids)
