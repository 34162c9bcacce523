"""What the fields of a vocabulary may hold, and how gene ids are spelt."""

import re
from collections.abc import Collection, Mapping

import numpy as np

_ENSEMBL_ID = re.compile(r"(ENS[A-Z]*G\d{11})(\.\d+)?(_PAR_Y)?", re.IGNORECASE)


def without_version(name: str) -> str:
    """An Ensembl gene id in upper case and without version suffix; any other name as it is."""
    ensembl = _ENSEMBL_ID.fullmatch(name)
    return ensembl[1].upper() if ensembl else name


def check_fields(
    genes: np.ndarray,
    tokens: np.ndarray,
    medians: np.ndarray,
    symbols: np.ndarray,
    special_tokens: Mapping[str, int],
    max_length: int,
) -> None:
    """Refuse fields that contradict one another.

    Args:
        genes, tokens, medians, symbols, special_tokens, max_length: see `GeneVocabulary`.

    Raises:
        ValueError: says what is wrong.
    """
    if not len(genes):
        raise ValueError("a vocabulary needs at least one gene")
    if not len(genes) == len(tokens) == len(medians) == len(symbols):
        raise ValueError(
            f"{len(genes)} genes, {len(tokens)} tokens, {len(medians)} medians "
            f"and {len(symbols)} symbols; expected as many of each"
        )
    if len({gene.upper() for gene in genes.tolist()}) < len(genes):
        raise ValueError("a gene id stands twice in genes (case is ignored)")
    bad = genes[~(np.isfinite(medians) & (medians > 0))]
    if len(bad):
        raise ValueError(f"{len(bad)} medians are not above zero, among them that of {bad[0]}")
    check_special_tokens(special_tokens, max_length)
    special = list(special_tokens.values())
    used = np.concatenate([tokens, np.array(special, dtype=np.int32)])
    if used.min() < 0 or len(np.unique(used)) < len(used):
        raise ValueError("token ids must be 0 or more, and each stand for one gene or special")


def check_special_tokens(special: Collection[str], max_length: int) -> None:
    """Refuse special tokens that no model can do with, or that leave no room for a gene.

    Args:
        special: their names.
        max_length: see `GeneVocabulary`.

    Raises:
        ValueError: says what is wrong.
    """
    if not {"<pad>", "<mask>"} <= set(special) or ("<cls>" in special) != ("<eos>" in special):
        raise ValueError(
            f"special_tokens are {sorted(special)}; expected <pad> and <mask>, and both or "
            "none of <cls> and <eos>"
        )
    if max_length <= len(special):
        raise ValueError(f"max_length is {max_length}; expected room for a gene")
