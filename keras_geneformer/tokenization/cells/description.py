"""What is in a dataset of cells: lengths, unknown genes, most frequent tokens, obs columns."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.cells.token_checks import (
    check_ids,
    check_vocabulary,
    known_tokens,
)

if TYPE_CHECKING:
    from keras_geneformer.tokenization.cells.dataset import CellDataset
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_IDS_AT_ONCE = 2**22


@dataclass(frozen=True)
class CellDescription:
    """What `CellDataset.describe` found.

    Attributes:
        cells: number of cells.
        tokens: number of token ids of all cells, special ones included.
        length_quantiles: quantile (0 to 1) to length of a cell, in tokens.
        max_length: the longest cell that the vocabulary's models take; None where unknown.
        full_share: share of the cells that are `max_length` long: they were cut there, or just
            fit. None where `max_length` is unknown.
        unknown_share: share of the token ids that stand for nothing in the vocabulary; None
            where none was given.
        unknown_tokens: the first ten such ids.
        known_count_share: share of the counts (or words) that tokenizing understood; None where
            the dataset has no report.
        distinct_tokens: how many different token ids there are.
        top_tokens: the most frequent tokens but the special ones: columns token, symbol ("" where
            no vocabulary was given or it has none), cells (how often it stands) and share (of the
            cells).
        obs_columns: name of each obs column to its type.
        vocabulary: what is known of the vocabulary, for people.
    """

    cells: int
    tokens: int
    length_quantiles: dict[float, int]
    max_length: int | None
    full_share: float | None
    unknown_share: float | None
    unknown_tokens: tuple[int, ...]
    known_count_share: float | None
    distinct_tokens: int
    top_tokens: pd.DataFrame
    obs_columns: dict[str, str]
    vocabulary: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["length_quantiles"] = {f"{q:g}": n for q, n in self.length_quantiles.items()}
        plain["unknown_tokens"] = list(self.unknown_tokens)
        plain["top_tokens"] = self.top_tokens.to_dict("records")
        return plain

    def __str__(self) -> str:
        lines = [f"{self.cells} cells, {self.tokens} tokens ({self.distinct_tokens} different)"]
        lines.append(f"vocabulary   {self.vocabulary}")
        if self.length_quantiles:
            low, *_, high = self.length_quantiles.values()
            middle = self.length_quantiles[0.5]
            quarters = f"{self.length_quantiles[0.25]} to {self.length_quantiles[0.75]}"
            lines.append(f"length       {low} to {high}, median {middle}, middle half {quarters}")
        if self.full_share is not None:
            lines.append(
                f"at {self.max_length:<9} {self.full_share:.1%} of the cells are that long"
            )
        if self.unknown_share is not None:
            shown = ", ".join(map(str, self.unknown_tokens))
            first = f" (first {shown})" if shown else ""
            lines.append(f"unknown      {self.unknown_share:.2%} of the tokens{first}")
        if self.known_count_share is not None:
            lines.append(f"understood   {self.known_count_share:.1%} of the input")
        names = self.top_tokens["symbol"].where(
            self.top_tokens["symbol"] != "", self.top_tokens["token"].astype(str)
        )
        top = [f"{name} {share:.0%}" for name, share in zip(names, self.top_tokens["share"])]
        lines.append(f"in most      {', '.join(top[:10]) or 'none'}")
        columns = [f"{name} ({kind})" for name, kind in self.obs_columns.items()]
        lines.append(f"obs          {', '.join(columns) or 'none'}")
        return "\n".join(lines)

    __repr__ = __str__


def describe_cells(
    cells: "CellDataset", vocabulary: "GeneVocabulary | None" = None, *, top: int = 20
) -> CellDescription:
    """Describe a dataset; token ids are read some at a time, and never copied as a whole.

    Args:
        cells: the dataset.
        vocabulary: its vocabulary, for symbols and to find ids that stand for nothing. Default:
            the one the dataset carries, if any.
        top: how many tokens `top_tokens` lists.

    Returns:
        The description; print it.

    Raises:
        ValueError: the dataset was made with another vocabulary, or has negative ids.
    """
    size = None
    if vocabulary is None:
        vocabulary = cells.vocabulary
    if vocabulary is not None:
        check_vocabulary(cells, vocabulary)
        size = vocabulary.size
    times = token_frequencies(_checked_ids(cells), size or 0)
    lengths = cells.lengths
    at = np.quantile(lengths, QUANTILES, method="nearest") if len(lengths) else []
    max_length = vocabulary.max_length if vocabulary is not None else cells.max_length
    full = None
    if max_length is not None:
        full = float((lengths >= max_length).mean()) if len(lengths) else 0.0
    special = cells.special_tokens if vocabulary is None else vocabulary.special_tokens
    unknown_share, unknown = None, np.zeros(0, dtype=np.int64)
    if vocabulary is not None:
        unknown = np.flatnonzero((times > 0) & ~known_tokens(vocabulary, len(times)))
        unknown_share = float(times[unknown].sum() / max(times.sum(), 1))
    return CellDescription(
        cells=len(cells),
        tokens=int(lengths.sum(dtype=np.int64)),
        length_quantiles={q: int(n) for q, n in zip(QUANTILES, at)},
        max_length=max_length,
        full_share=full,
        unknown_share=unknown_share,
        unknown_tokens=tuple(unknown[:10].tolist()),
        known_count_share=None if cells.report is None else cells.report.known_share,
        distinct_tokens=int((times > 0).sum()),
        top_tokens=_top(times, special, vocabulary, top, len(cells)),
        obs_columns={str(name): str(kind) for name, kind in cells.obs.dtypes.items()},
        vocabulary=_named(cells, vocabulary),
    )


def _checked_ids(cells: "CellDataset") -> Iterator[np.ndarray]:
    """The ids piece by piece; negative ones, which others may have written, cannot be counted."""
    first = 0
    for ids, offsets in cells.token_lists.pieces():
        check_ids(ids, np.diff(offsets), None, "cell", first)
        first += len(offsets) - 1
        yield ids


def token_frequencies(pieces: Iterable[np.ndarray], size: int = 0) -> np.ndarray:
    """How often each token id stands in flat arrays of ids, int64, shape (`size` or more,)."""
    times = np.zeros(size, dtype=np.int64)
    for ids in pieces:
        for start in range(0, len(ids), _IDS_AT_ONCE):
            part = np.bincount(ids[start : start + _IDS_AT_ONCE], minlength=len(times))
            if len(part) > len(times):
                times = np.pad(times, (0, len(part) - len(times)))
            times += part
    return times


def _top(
    times: np.ndarray,
    special: dict[str, int],
    vocabulary: "GeneVocabulary | None",
    number: int,
    cells: int,
) -> pd.DataFrame:
    counted = times.copy()
    counted[[token for token in special.values() if token < len(counted)]] = 0
    tokens = np.argsort(-counted, kind="stable")[:number]
    tokens = tokens[counted[tokens] > 0]
    symbols = np.full(len(tokens), "", dtype=object)
    if vocabulary is not None:
        known = known_tokens(vocabulary, len(times))[tokens]
        symbols[known] = vocabulary.symbols_of(tokens[known])
    return pd.DataFrame(
        {
            "token": tokens,
            "symbol": symbols,
            "cells": counted[tokens],
            "share": counted[tokens] / max(cells, 1),
        }
    )


def _named(cells: "CellDataset", vocabulary: "GeneVocabulary | None") -> str:
    if vocabulary is not None:
        checked = "" if cells.vocabulary_checksum else ", as given: the cells do not say theirs"
        return f"{vocabulary.version} ({vocabulary.checksum[:12]}{checked})"
    if cells.vocabulary_checksum:
        return f"checksum {cells.vocabulary_checksum[:12]}, {cells.vocabulary_size} token ids"
    return "unknown"
