"""Which genes of a corpus a vocabulary gets, and the vocabulary's fields."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.genes.gene_tables import read_gene_table, require_columns
from keras_geneformer.tokenization.genes.vocabulary_checks import (
    check_special_tokens,
    without_version,
)
from keras_geneformer.tokenization.medians.gene_medians import GeneMedians

if TYPE_CHECKING:
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

logger = logging.getLogger(__name__)

_BIOTYPE_COLUMNS = ("gene_type", "biotype", "gene_biotype", "Gene type")
_SPECIAL = ("<pad>", "<mask>")
_ID_COLUMNS = ("ensembl_id", "gene", "gene_id", "Gene stable ID")


def vocabulary_fields(
    medians: GeneMedians,
    *,
    biotypes: Sequence[str] | str | None,
    known_biotypes: Mapping[str, str] | None,
    min_cells: int,
    max_genes: int | None,
    extend: "GeneVocabulary | None",
    special_tokens: Sequence[str] | None,
    max_length: int | None,
    name: str,
) -> dict[str, Any]:
    """The fields of a `GeneVocabulary` (see `GeneVocabulary.fit` for the arguments).

    Args:
        known_biotypes: upper-case gene id to biotype, in place of those of `medians`.

    Raises:
        ValueError: no gene is left.
    """
    detected, values = medians.values.detected, medians.values.medians()
    chosen = [i for i in range(len(detected)) if detected[i]]
    if not chosen:
        raise ValueError("no gene is detected in any cell: there is nothing to fit")
    before = len(chosen)
    if biotypes is not None:
        wanted = {biotypes} if isinstance(biotypes, str) else set(biotypes)
        kinds = medians.biotypes if known_biotypes is None else known_biotypes
        chosen = [i for i in chosen if kinds.get(medians.genes[i].upper()) in wanted]
        if not chosen:
            raise ValueError(
                f"none of the {before} detected genes has one of the biotypes "
                f"{', '.join(sorted(wanted))}; known are {_most_frequent(kinds)}"
            )
    chosen = [i for i in chosen if detected[i] >= min_cells]
    if extend is not None:
        known = extend.positions_of([medians.genes[i] for i in chosen]) >= 0
        chosen = [i for i, old in zip(chosen, known) if not old]
    elif not chosen:
        raise ValueError(
            f"no gene is detected in {min_cells} of the {medians.cells} cells (min_cells)"
        )
    chosen.sort(key=lambda i: (-detected[i], medians.genes[i]))
    if max_genes is not None:
        chosen = chosen[: max_genes - (0 if extend is None else len(extend))]
    chosen.sort(key=lambda i: medians.genes[i])
    logger.info("%d of %d detected genes were chosen", len(chosen), before)
    genes = [medians.genes[i] for i in chosen]
    symbols = [medians.symbols.get(gene.upper(), "") for gene in genes]
    fields = {
        "genes": genes,
        "medians": values[chosen],
        "symbols": symbols,
        "aliases": _aliases(genes, symbols),
        "version": name,
    }
    if extend is not None:
        return _extended(extend, fields, max_length)
    special = _SPECIAL if special_tokens is None else special_tokens
    return fields | {
        "tokens": np.arange(len(special), len(special) + len(genes)),
        "special_tokens": {token: number for number, token in enumerate(special)},
        "max_length": 2048 if max_length is None else max_length,
    }


def check_selection(
    *,
    min_cells: int,
    max_genes: int | None,
    extend: "GeneVocabulary | None",
    special_tokens: Sequence[str] | None,
    max_length: int | None,
) -> None:
    """Refuse, before a corpus is read, what could not be fitted afterwards.

    Args:
        min_cells, max_genes, extend, special_tokens, max_length: see `GeneVocabulary.fit`.

    Raises:
        ValueError: a number is out of range, or they contradict the vocabulary to extend.
    """
    if min_cells < 1:
        raise ValueError(f"min_cells is {min_cells}; expected 1 or more")
    if max_genes is not None and max_genes < 1:
        raise ValueError(f"max_genes is {max_genes}; expected 1 or more")
    if special_tokens is not None and len(set(special_tokens)) < len(special_tokens):
        raise ValueError(
            f"special_tokens are {', '.join(special_tokens)}; expected each once, as its place is "
            "its id"
        )
    special = _SPECIAL if extend is None else tuple(extend.special_tokens)
    if extend is None and special_tokens is not None:
        special = tuple(special_tokens)
    longest = 2048 if extend is None else extend.max_length
    check_special_tokens(special, longest if max_length is None else max_length)
    if extend is None:
        return
    if max_genes is not None and max_genes < len(extend):
        raise ValueError(
            f"max_genes is {max_genes}, and the vocabulary to extend has {len(extend)} genes, "
            "which all stay; expected at least as many"
        )
    old = sorted(extend.special_tokens, key=extend.special_tokens.__getitem__)
    if special_tokens is not None and list(special_tokens) != old:
        raise ValueError(
            f"special_tokens are {', '.join(special_tokens)}, and the vocabulary to extend has "
            f"{', '.join(old)}, which stay with their ids; leave special_tokens out"
        )


def _extended(old: "GeneVocabulary", new: dict[str, Any], max_length: int | None) -> dict[str, Any]:
    """The old genes as they are, then the new ones; old names win over new symbols."""
    aliases = {name: gene for name, gene in new["aliases"].items() if name not in old.aliases}
    return {
        "genes": [*old.genes.tolist(), *new["genes"]],
        "tokens": np.concatenate([old.tokens, np.arange(old.size, old.size + len(new["genes"]))]),
        "medians": np.concatenate([old.medians, new["medians"]]),
        "symbols": [*old.symbols.tolist(), *new["symbols"]],
        "aliases": old.aliases | aliases,
        "special_tokens": old.special_tokens,
        "version": new["version"],
        "max_length": old.max_length if max_length is None else max_length,
    }


def _aliases(genes: list[str], symbols: list[str]) -> dict[str, str]:
    """Symbols to genes, but for symbols that several genes share."""
    owners: dict[str, set[str]] = {}
    for gene, symbol in zip(genes, symbols):
        owners.setdefault(symbol.upper(), set()).add(gene)
    ids = {gene.upper() for gene in genes}
    return {
        symbol: min(owner)
        for symbol, owner in owners.items()
        if symbol and len(owner) == 1 and symbol not in ids
    }


def read_biotypes(table: str | os.PathLike[str] | pd.DataFrame) -> dict[str, str]:
    """Upper-case gene id to biotype; of a gene that stands twice, the first row.

    Args:
        table: see `GeneVocabulary.fit`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no table, or a column is missing.
    """
    frame, name = read_gene_table(table)
    ids, biotypes = require_columns(
        frame, name, {"gene ids": _ID_COLUMNS, "biotypes": _BIOTYPE_COLUMNS}
    )
    kinds: dict[str, str] = {}
    for gene, kind in zip(ids, biotypes):
        kinds.setdefault(without_version(gene.strip()).upper(), kind.strip())
    return kinds


def _most_frequent(kinds: Mapping[str, str]) -> str:
    names = pd.Series(list(kinds.values()), dtype=object)
    return ", ".join(names[names != ""].value_counts().index[:8]) or "none"
