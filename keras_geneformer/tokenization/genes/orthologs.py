"""Genes of one species as genes of another, by a table of orthologs."""

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.genes.gene_tables import (
    find_column,
    read_gene_table,
    require_columns,
)
from keras_geneformer.tokenization.genes.vocabulary_checks import without_version

logger = logging.getLogger(__name__)

_FROM = ("gene", "mouse_id", "ensembl_id", "Gene stable ID")
_TO = ("ortholog", "human_id", "human_ensembl_id", "Human gene stable ID")
_SYMBOLS = ("symbol", "mouse_symbol", "gene_name", "Gene name")


@dataclass(frozen=True)
class Orthologs:
    """One-to-one orthologs, and how many genes had none.

    Attributes:
        pairs: dict, gene id of the corpus's species to that of the vocabulary's.
        symbols: dict, gene id of the corpus's species to its symbol, where known.
        one_to_many: genes that have several orthologs; left out.
        many_to_one: genes that share their one ortholog with another gene; left out.

    Example:
        >>> orthologs = Orthologs.read(pd.DataFrame({
        ...     "gene": ["ENSMUSG00000000001", "ENSMUSG00000000028", "ENSMUSG00000000028"],
        ...     "ortholog": ["ENSG00000065135", "ENSG00000093009", "ENSG00000000419"]}))
        >>> orthologs.pairs, orthologs.one_to_many
        ({'ENSMUSG00000000001': 'ENSG00000065135'}, 1)
    """

    pairs: Mapping[str, str]
    symbols: Mapping[str, str]
    one_to_many: int
    many_to_one: int

    @classmethod
    def read(cls, table: str | os.PathLike[str] | pd.DataFrame) -> "Orthologs":
        """Keep the one-to-one rows of a table.

        Genes in one-to-many and many-to-one relations are left out: their counts belong to no one
        gene of the other species, and summed ones would be compared with the median of a single
        gene.

        Args:
            table: a DataFrame or a file (`.csv`, `.tsv`, `.parquet`) with a column `gene` (ids of
                the corpus's species), a column `ortholog` (ids of the vocabulary's species) and,
                if there is one, `symbol` (of the first). The headers of an Ensembl BioMart export
                ("Gene stable ID", "Human gene stable ID", "Gene name") are understood too, headers
                in any case. Empty cells and repeated rows are passed over, version suffixes
                dropped.

        Returns:
            The orthologs.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a column is missing, or no gene has a one-to-one ortholog.
        """
        frame, name = read_gene_table(table)
        source, target = require_columns(
            frame, name, {"genes to map from": _FROM, "genes to map to": _TO}
        )
        symbol = find_column(frame, name, _SYMBOLS)
        names = [""] * len(frame) if symbol is None else frame.iloc[:, symbol].str.strip().tolist()
        rows: dict[tuple[str, str], str] = {}
        for gene, ortholog, given in zip(source, target, names):
            pair = without_version(gene.strip()), without_version(ortholog.strip())
            if all(pair):
                rows[pair] = rows.get(pair) or given
        if not rows:
            raise ValueError(
                f"{name} has no row with both a gene and its ortholog, of {len(frame)} rows"
            )
        orthologs_of = Counter(gene for gene, _ in rows)
        genes_of = Counter(ortholog for _, ortholog in rows)
        single = {pair: given for pair, given in rows.items() if orthologs_of[pair[0]] == 1}
        kept = {pair: given for pair, given in single.items() if genes_of[pair[1]] == 1}
        if not kept:
            raise ValueError(
                f"{name} has no one-to-one orthologs: of its {len(orthologs_of)} genes "
                f"{len(orthologs_of) - len(single)} have several and the others share theirs"
            )
        return cls(
            pairs=dict(kept.keys()),
            symbols={gene: given for (gene, _), given in kept.items() if given},
            one_to_many=len(orthologs_of) - len(single),
            many_to_one=len(single) - len(kept),
        )


def ortholog_aliases(
    orthologs: Orthologs, genes: np.ndarray, aliases: Mapping[str, str]
) -> dict[str, str]:
    """A vocabulary's aliases, with those that orthologs give.

    Symbols of the other species take the place of equal symbols of the vocabulary's own, as they
    mean the ortholog in the corpus at hand. Gene ids of the vocabulary stay as they are.

    Args:
        orthologs: to add.
        genes: the vocabulary's gene ids.
        aliases: the vocabulary's aliases.

    Raises:
        ValueError: none of the orthologs is a gene of the vocabulary.
    """
    ids = {gene.upper(): gene for gene in genes.tolist()}
    known = {
        gene: ids[ortholog.upper()]
        for gene, ortholog in orthologs.pairs.items()
        if ortholog.upper() in ids
    }
    if not known:
        pair = next(iter(orthologs.pairs.items()))
        raise ValueError(
            f"none of the {len(orthologs.pairs)} orthologs is a gene of the vocabulary (the first "
            f"is {pair[0]} to {pair[1]}; the vocabulary begins with {genes[0]}): are the columns "
            "exchanged?"
        )
    added = {gene.upper(): ortholog for gene, ortholog in known.items()}
    owners = Counter(orthologs.symbols[gene].upper() for gene in known if gene in orthologs.symbols)
    for gene, ortholog in known.items():
        symbol = orthologs.symbols.get(gene, "").upper()
        if owners[symbol] == 1:
            added[symbol] = ortholog
    added = {name: ortholog for name, ortholog in added.items() if name and name not in ids}
    changed = sum(aliases.get(name, ortholog) != ortholog for name, ortholog in added.items())
    logger.info(
        "%d of %d one-to-one orthologs are in the vocabulary (%d names changed their gene); left "
        "out: %d genes with several orthologs, %d that share theirs",
        len(known),
        len(orthologs.pairs),
        changed,
        orthologs.one_to_many,
        orthologs.many_to_one,
    )
    return {**aliases, **added}
