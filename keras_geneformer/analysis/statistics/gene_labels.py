"""The columns that say which gene a row of a table of statistics is about."""

from typing import Any

import numpy as np
import pandas as pd


class GeneLabels:
    """Tokens and symbols of genes, from the effects themselves and from a vocabulary.

    Args:
        genes: names of genes in the effects.
        tokens: token of each, -1 where it stands for several.
        vocabulary: a `GeneVocabulary`, or None: then there are no symbols.
        published: sets are tuples and a missing symbol is NaN, as in the published tables; else
            sets are joined by "+" and the id stands for a missing symbol.

    Raises:
        ValueError: the vocabulary calls a token otherwise than the effects do.
    """

    def __init__(
        self, genes: np.ndarray, tokens: np.ndarray, vocabulary: Any, published: bool
    ) -> None:
        self.vocabulary = vocabulary
        self.published = published
        known = np.asarray(tokens) >= 0
        self._tokens = dict(zip(genes[known].tolist(), tokens[known].tolist()))
        self._ids: dict[str, str] = {}
        if vocabulary is not None:
            self._ids = dict(zip(map(str, vocabulary.tokens.tolist()), vocabulary.genes.tolist()))
        if vocabulary is not None and known.any():
            names = vocabulary.genes_of(tokens[known])
            given = genes[known]
            wrong = (names != given) & (given != tokens[known].astype(str))
            if wrong.any():
                token = int(tokens[known][wrong][0])
                raise ValueError(
                    f"effects: token {token} is {given[wrong][0]}, and {names[wrong][0]} in the "
                    "vocabulary given: expected the vocabulary that the cells were tokenized with."
                )

    def columns(self, genes: np.ndarray) -> dict[str, list[Any]]:
        """`Gene` (the token), `Gene_name` (the symbol) and `Ensembl_ID` of perturbed genes."""
        parts = [str(gene).split("+") for gene in genes]
        return {
            "Gene": [self._joined([self.token(gene) for gene in names]) for names in parts],
            "Gene_name": [self._joined([self.symbol(gene) for gene in names]) for names in parts],
            "Ensembl_ID": [self._joined([self.id(gene) for gene in names]) for names in parts],
        }

    def token(self, gene: str) -> Any:
        """The token of a gene; -1 where neither the effects nor the vocabulary know it."""
        if gene in self._tokens:
            return self._tokens[gene]
        if gene.isdecimal():
            return int(gene)
        if self.vocabulary is None:
            return -1
        return int(self.vocabulary.tokens_of([gene])[0])

    def id(self, gene: str) -> str:
        """The Ensembl id: the name itself, unless it is a token and there is a vocabulary."""
        return self._ids.get(gene, gene)

    def symbol(self, gene: str) -> Any:
        """The symbol; without one NaN, or the id where nothing is published."""
        name = self.id(gene)
        found = ""
        if self.vocabulary is not None:
            position = int(self.vocabulary.positions_of([name])[0])
            found = str(self.vocabulary.symbols[position]) if position >= 0 else ""
        return found or (np.nan if self.published else name)

    def _joined(self, values: list[Any]) -> Any:
        if len(values) == 1:
            return values[0]
        return tuple(values) if self.published else "+".join(map(str, values))


def sort_rows(table: pd.DataFrame, by: dict[str, bool], published: bool) -> pd.DataFrame:
    """A table sorted by columns (True: ascending); unless published, untested genes stand last.

    The index is then the row's place before sorting, as in the published tables, or else counts
    rows anew.
    """
    table = table.sort_values(list(by), ascending=list(by.values()), kind="stable")
    if published:
        return table
    fdr = [name for name in by if name.endswith("FDR")]
    if fdr:
        # The largest means of all are those of genes that one cell holds.
        untested = table[fdr[0]].isna().to_numpy()
        table = table.iloc[np.argsort(untested, kind="stable")]
    return table.reset_index(drop=True)
