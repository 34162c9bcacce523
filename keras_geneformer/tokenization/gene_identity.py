"""Which gene of a vocabulary each column of a count matrix is."""

import logging
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import scipy.sparse as sp

from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.readers.sources import CountSource

logger = logging.getLogger(__name__)

VAR_NAMES = "var_names"
DEFAULT_GENE_KEY = "ensembl_id"
SYMBOL_KEYS = ("symbol", "gene_symbol", "gene_symbols", "gene_name", "feature_name")
"""Columns of var that hold gene symbols; the first that is there counts."""

_OTHER_KEYS = ("gene_ids", "gene_id", "feature_id", *SYMBOL_KEYS, "gene_short_name")
_CAUSES = {
    r"ENSG\d{11}(\.\d+)?": "human Ensembl ids this vocabulary does not have",
    r"ENSMUSG\d+(\.\d+)?": "mouse Ensembl ids: use a mouse vocabulary, or take them as their human "
    "orthologs (vocabulary.with_orthologs, --orthologs)",
    r"ENS[A-Z]*T\d+(\.\d+)?": "Ensembl transcript ids: sum them by gene first",
    r"ENS[A-Z]+G\d+(\.\d+)?": "Ensembl ids of another species: take them as their human orthologs "
    "(vocabulary.with_orthologs, --orthologs)",
    r"\d+": "numbers (Entrez ids or row numbers): map them to Ensembl ids",
    r"(.*[^A-Z])?[ACGT]{10,}([^A-Z].*)?": "cell barcodes: is the matrix transposed?",
}
LEAST_SHARE = 0.05
"""Of whose counts less belongs to known genes is refused: what would be left is no cell."""
_MOUSE_SYMBOL = re.compile(r"[A-Z][a-z]+[a-z0-9]*")


@dataclass(frozen=True)
class GeneMap:
    """Columns of a count matrix and the genes they stand for.

    Attributes:
        positions: position of each column's gene in `vocabulary.genes`, -1 where unknown.
        key: the var column the ids came from, or "var_names".
        nameless: columns whose id is empty.
        repeated: whether another column has the same gene, shape (columns,).
        unknown: the names of the columns without a known gene.
    """

    positions: np.ndarray
    key: str
    nameless: int
    repeated: np.ndarray
    unknown: list[object]

    @property
    def known(self) -> int:
        """Columns with a gene of the vocabulary."""
        return int((self.positions >= 0).sum())

    @property
    def summed(self) -> int:
        """Columns that go into another column of the same gene."""
        return self.known - len(np.unique(self.positions[self.positions >= 0]))

    def likely_cause(self, var: pd.DataFrame) -> str:
        """What the unknown names most likely are, and what to do."""
        return _likely_cause(self.unknown, self.key, var)


def map_genes(
    var: pd.DataFrame,
    vocabulary: GeneVocabulary,
    gene_key: str | None = DEFAULT_GENE_KEY,
    name: str = "adata",
) -> GeneMap:
    """Find each column's gene, by id, symbol or alias, whatever the case.

    An id with a version suffix (`ENSG….3`) is understood. Where var has no column "ensembl_id"
    and no other was asked for, the ids are sought in var_names and in the usual columns of ids
    and symbols; the one that gives most genes is taken, and logged.

    Args:
        var: one row a column of the matrix.
        vocabulary: the genes to find.
        gene_key: the column of var; None or "var_names" for its index.
        name: of the source, for messages.

    Returns:
        The map.

    Raises:
        ValueError: there is no such column, or no gene is known; then with the likely cause.
    """
    key, names = _names(var, vocabulary, gene_key, name)
    genes, mouse = _map_names(vocabulary, key, tuple(names))
    if not genes.known:
        raise ValueError(_no_gene(names, key, vocabulary, name, var))
    if mouse is not None:
        logger.warning(
            "%s: most names in %s look like mouse symbols (%s); they are taken as the human genes "
            "of the same name",
            name,
            key,
            mouse,
        )
    return genes


@lru_cache(maxsize=8)
def _map_names(
    vocabulary: GeneVocabulary, key: str, names: tuple[object, ...]
) -> tuple[GeneMap, str | None]:
    """The map, and a mouse symbol where most names look like such.

    The files of a corpus mostly have the same genes: these are looked up once.
    """
    positions = vocabulary.positions_of(names)
    texts = [name for name in names if isinstance(name, str) and name.strip()]
    mouse = [name for name in texts if _MOUSE_SYMBOL.fullmatch(name)]
    times = np.bincount(positions[positions >= 0], minlength=len(vocabulary))
    repeated = (positions >= 0) & (times[positions] > 1)
    unknown = [names[i] for i in np.flatnonzero(positions < 0).tolist()]
    genes = GeneMap(positions, key, len(names) - len(texts), repeated, unknown)
    return genes, mouse[0] if len(mouse) > 0.5 * len(names) else None


def _names(
    var: pd.DataFrame, vocabulary: GeneVocabulary, gene_key: str | None, name: str
) -> tuple[str, list[object]]:
    if gene_key is None or (gene_key == VAR_NAMES and VAR_NAMES not in var):
        return VAR_NAMES, var.index.tolist()
    if gene_key in var:
        return gene_key, var[gene_key].astype(object).tolist()
    if gene_key != DEFAULT_GENE_KEY:
        raise ValueError(
            f"{name} has no var column {gene_key!r}; it has "
            f"{', '.join(map(str, var.columns)) or 'none'} (None takes var_names)"
        )
    candidates = {VAR_NAMES: var.index.tolist()}
    candidates |= {key: var[key].astype(object).tolist() for key in _OTHER_KEYS if key in var}
    found = {key: int((vocabulary.positions_of(n) >= 0).sum()) for key, n in candidates.items()}
    best = max(found, key=found.__getitem__)
    logger.info(
        "%s has no var column %r: genes looked up in %s (%d of %d known)",
        name,
        gene_key,
        best,
        found[best],
        len(var),
    )
    return best, candidates[best]


def check_known_share(source: CountSource, genes: GeneMap, rows: sp.csr_matrix) -> None:
    """Refuse a source of whose counts hardly any belong to genes of the vocabulary.

    Args:
        source: for its name and its genes.
        genes: its map.
        rows: some of its cells.

    Raises:
        ValueError: it is less than one in twenty; with the likely cause.
    """
    counts = np.bincount(rows.indices, weights=rows.data, minlength=len(genes.positions))
    total, known = counts.sum(), counts[genes.positions >= 0].sum()
    if total > 0 and known < LEAST_SHARE * total:
        raise ValueError(
            f"{source.name}: only {known / total:.1%} of the counts belong to genes of the "
            f"vocabulary ({genes.known} of {len(genes.positions)} genes in {genes.key} known); "
            f"expected {LEAST_SHARE:.0%} or more. {genes.likely_cause(source.var)}"
        )


def _likely_cause(names: list[object], key: str, var: pd.DataFrame) -> str:
    """What names that the vocabulary lacks most likely are, and what to do."""
    texts = [text.upper() for text in _texts(names)]
    for pattern, cause in _CAUSES.items():
        if sum(bool(re.fullmatch(pattern, text)) for text in texts) > 0.5 * len(texts):
            return f"They look like {cause}"
    others = [str(column) for column in var.columns if column != key]
    return (
        "Is it the wrong column, or another species? Give gene_key= the column of var "
        f"with Ensembl ids or symbols (var also has {', '.join(others) or 'no other column'})"
    )


def _no_gene(
    names: list[object], key: str, vocabulary: GeneVocabulary, name: str, var: pd.DataFrame
) -> str:
    texts = _texts(names)
    message = f"{name}: none of the {len(names)} genes in {key} is in the vocabulary"
    if not texts:
        return f"{message}: they are all empty. Give gene_key= another of var's columns"
    return (
        f"{message} {vocabulary.version!r} (they start with {', '.join(texts[:3])}). "
        + _likely_cause(names, key, var)
    )


def _texts(names: list[object]) -> list[str]:
    """Names that are there; numbers too, as they are shown."""
    there = pd.Series(names, dtype=object).dropna()
    return [text for text in there.map(str).str.strip() if text]
