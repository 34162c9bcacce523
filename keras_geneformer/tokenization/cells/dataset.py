"""Tokenized cells: their token ids and their obs."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd
import pyarrow as pa

from keras_geneformer.tokenization.cells.arrow_format import (
    RESERVED,
    VOCABULARY,
    DatasetWriter,
    count_pieces,
    is_dataset_directory,
    read_dataset,
    token_pieces,
)
from keras_geneformer.tokenization.cells.cell_operations import CellOperations
from keras_geneformer.tokenization.cells.obs_columns import decode_obs, encode_obs
from keras_geneformer.tokenization.cells.token_lists import TokenLists
from keras_geneformer.tokenization.publishing import publish_directory
from keras_geneformer.tokenization.sentence_report import read_report

if TYPE_CHECKING:
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary


class CellDataset(CellOperations):
    """Cells as lists of token ids, with their obs.

    Args:
        cells: one 1-D sequence of token ids a cell.
        obs: a DataFrame with one row a cell; its index holds the cells' names. Default: no
            columns, cells named "0", "1", ...
        vocabulary: the vocabulary of the ids. Where given, ids are checked against it, and the
            dataset carries its checksum.

    Attributes:
        vocabulary_checksum: checksum of the vocabulary, None where unknown.
        vocabulary_size: number of token ids of the vocabulary, None where unknown.
        special_tokens: dict of special tokens, name to id; empty where unknown.
        max_length: longest cell the vocabulary's models take, None where unknown.
        counts: where they were kept, the counts per 10,000 of the cell: `counts[i]` is the float32
            array beside `cells[i]`, 0 at special tokens; else None.
        report: what tokenizing understood and dropped; None where cells came otherwise.

    Raises:
        ValueError: ids are not integers, lie outside the vocabulary, or obs has another length.

    Example:
        >>> cells = CellDataset([[5, 2, 9], [7]], pd.DataFrame({"kind": ["B", "T"]}, ["a", "b"]))
        >>> len(cells), cells[0], cells.subset(cells.obs["kind"] == "T").obs.index.tolist()
        (2, array([5, 2, 9], dtype=int32), ['b'])
    """

    def __init__(
        self,
        cells: Sequence[Any],
        obs: pd.DataFrame | None = None,
        vocabulary: "GeneVocabulary | None" = None,
    ) -> None:
        size = None if vocabulary is None else vocabulary.size
        lists = TokenLists.from_arrays(cells, size)
        self._assign(lists, obs, vocabulary_metadata(vocabulary), vocabulary=vocabulary)

    def _assign(
        self,
        lists: TokenLists,
        obs: pd.DataFrame | None,
        metadata: dict[str, Any],
        counts: TokenLists | None = None,
        vocabulary: "GeneVocabulary | Path | None" = None,
    ) -> None:
        if obs is not None and len(obs) != len(lists):
            raise ValueError(f"obs has {len(obs)} rows for {len(lists)} cells; expected one each")
        self._lists = lists
        self.counts = counts
        self._vocabulary = vocabulary
        if obs is not None:
            self.obs = obs.copy(deep=False)
        self.vocabulary_checksum: str | None = metadata.get("vocabulary_checksum")
        self.vocabulary_size: int | None = metadata.get("vocabulary_size")
        self.special_tokens: dict[str, int] = dict(metadata.get("special_tokens") or {})
        self.max_length: int | None = metadata.get("max_length")
        report = metadata.get("report")
        self.report = None if report is None else read_report(report)
        self._stored: tuple[pa.Table, dict[str, Any] | None] | None = None

    @classmethod
    def from_token_lists(
        cls,
        lists: TokenLists,
        obs: pd.DataFrame | None,
        metadata: dict[str, Any],
        counts: TokenLists | None = None,
        vocabulary: "GeneVocabulary | Path | None" = None,
    ) -> "CellDataset":
        """A dataset of token lists as they are, with what `metadata` gives.

        `vocabulary` may be the directory that holds it.
        """
        cells = cls.__new__(cls)
        cells._assign(lists, obs, metadata, counts, vocabulary)
        return cells

    @cached_property
    def obs(self) -> pd.DataFrame:
        """What is known of each cell, one row a cell; the index holds the cells' names."""
        if self._stored is None:
            return pd.DataFrame(index=pd.RangeIndex(len(self)).astype(str))
        return decode_obs(*self._stored, RESERVED)

    @property
    def token_lists(self) -> TokenLists:
        """The token ids piece by piece and in rectangles, read from the files as they are used."""
        return self._lists

    @property
    def token_ids(self) -> np.ndarray:
        """All token ids, flat, int16 or int32: cell i is `token_ids[offsets[i]:offsets[i + 1]]`.

        A view of the file where the dataset was written in one piece, else gathered once and kept
        in memory: of a large dataset use `token_lists`.
        """
        return self._lists.token_ids

    @property
    def offsets(self) -> np.ndarray:
        """Where each cell starts in `token_ids`, int64, shape (cells + 1,)."""
        return self._lists.offsets

    @property
    def vocabulary(self) -> "GeneVocabulary | None":
        """The vocabulary of the ids, where the dataset carries it; else None.

        Raises:
            ValueError: it is not the one the cells were tokenized with, or damaged.
        """
        if isinstance(self._vocabulary, Path):
            from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

            place, self._vocabulary = self._vocabulary, GeneVocabulary.load(self._vocabulary)
            if self._vocabulary.checksum != self.vocabulary_checksum:
                raise ValueError(
                    f"{place} has the checksum {self._vocabulary.checksum[:12]}, and its cells "
                    f"were tokenized with {str(self.vocabulary_checksum)[:12]}: one of them was "
                    "replaced. Tokenize or copy the dataset again"
                )
        return self._vocabulary

    @property
    def lengths(self) -> np.ndarray:
        """Number of token ids of each cell, special ones included, int32, shape (cells,)."""
        return self._lists.lengths

    def __len__(self) -> int:
        return len(self._lists)

    @property
    def shape(self) -> tuple[int]:
        """(cells,): with it, scikit-learn slices a dataset as it does an array."""
        return (len(self),)

    @overload
    def __getitem__(self, i: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, i: "slice | Sequence[int] | np.ndarray | tuple") -> "CellDataset": ...

    def __getitem__(self, i: Any) -> "np.ndarray | CellDataset":
        """The token ids of one cell; or of a slice, positions or a mask, those cells (`subset`)."""
        if isinstance(i, (int, np.integer)):
            return self._lists[i]  # type: ignore[index]
        # scikit-learn asks for rows of whatever number of dimensions: (rows, ...).
        rows = i[0] if isinstance(i, tuple) and len(i) == 2 and i[1] is Ellipsis else i
        return self.subset(np.arange(len(self))[rows] if isinstance(rows, slice) else rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._lists[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"CellDataset({len(self)} cells, obs: {', '.join(map(str, self.obs.columns))})"

    @property
    def metadata(self) -> dict[str, Any]:
        """What the dataset carries beside ids and obs, as plain values, for JSON."""
        return {
            "vocabulary_checksum": self.vocabulary_checksum,
            "vocabulary_size": self.vocabulary_size,
            "special_tokens": self.special_tokens,
            "max_length": self.max_length,
            "report": None if self.report is None else self.report.to_dict(),
        }

    def subset(self, cells: Any) -> "CellDataset":
        """Some of the cells, in the order asked for; token ids are not copied.

        Args:
            cells: positions (integers; negative ones count from the end), or a mask of bools with
                one entry a cell.

        Returns:
            A dataset of those cells.

        Raises:
            ValueError: the mask has another length, or these are neither positions nor a mask.
            IndexError: a position lies outside the dataset.
        """
        chosen = np.asarray(cells)
        if chosen.size == 0 and chosen.dtype != bool:
            chosen = chosen.astype(np.int64)
        if chosen.ndim != 1 or chosen.dtype.kind not in "biu":
            raise ValueError(
                f"subset got an array of {chosen.dtype} of shape {chosen.shape}; expected 1-D "
                "positions or a mask of bools"
            )
        if chosen.dtype == bool and len(chosen) != len(self):
            raise ValueError(f"the mask has {len(chosen)} entries for {len(self)} cells")
        # Of numpy's choosing: masks, negative positions and positions outside.
        rows = np.arange(len(self))[chosen]
        counts = None if self.counts is None else self.counts.take(rows)
        return self.from_token_lists(
            self._lists.take(rows), self.obs.iloc[rows], self.metadata, counts, self._vocabulary
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the dataset as a `.dataset` directory (docs/dataset-format.md).

        The published package and `datasets` 3, 4 and 5 read it (`load_from_disk`). An earlier
        dataset there is replaced in one step, when the new one is complete.

        Args:
            path: the directory.

        Raises:
            FileExistsError: the path holds anything else than a dataset.
        """
        obs, kinds = encode_obs(self.obs, RESERVED)
        types = {name: array.type for name, array in obs.items()}
        ids_dtype = self._lists.narrowest_dtype()
        with (
            publish_directory(path, is_dataset_directory) as partial,
            DatasetWriter(partial, ids_dtype, types, self.counts is not None) as writer,
        ):
            start = 0
            for ids, offsets in self._lists.pieces():
                stop = start + len(offsets) - 1
                batch = {name: array[start:stop] for name, array in obs.items()}
                kept = None
                if self.counts is not None:
                    # The pieces of the counts need not be cut where those of the ids are.
                    kept = self.counts.take(np.arange(start, stop)).token_ids
                writer.write(ids, np.diff(offsets), batch, kept)
                start = stop
            writer.finish(self.metadata | {"obs": kinds}, self.vocabulary)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        vocabulary: "GeneVocabulary | None" = None,
        lengths: "str | os.PathLike[str] | Iterable[int] | None" = None,
        memory_map: bool = True,
    ) -> "CellDataset":
        """Open a dataset directory: ours, or one the published package wrote.

        Token ids stay on disk, memory mapped, until they are used.

        Args:
            path: the directory.
            vocabulary: the one the cells were tokenized with, where the dataset does not say it;
                every token id is then checked against it (see `with_vocabulary`).
            lengths: the lengths published beside it, or their pickle, to compare with (see
                `check_lengths`).
            memory_map: leave token ids on disk; else read everything into memory.

        Returns:
            The dataset. One that others wrote has no checksum, vocabulary size or report, and its
            cells are named "0", "1", ...

        Raises:
            FileNotFoundError: no such directory, or a file of it is missing.
            ValueError: it holds no tokenized cells, a file is damaged or truncated, or it does
                not go with `vocabulary` or `lengths`.
        """
        directory = Path(path)
        table, ours = read_dataset(directory, memory_map)
        lists = TokenLists(token_pieces(table, directory))
        if ours is not None and int(lists.lengths.sum()) != ours["num_tokens"]:
            raise ValueError(
                f"{directory} has {lists.lengths.sum()} token ids; expected {ours['num_tokens']}: "
                "a file was changed. Tokenize or copy it again"
            )
        counts = count_pieces(table, directory)
        kept = None if counts is None else TokenLists(counts)
        place = directory / VOCABULARY
        cells = cls.from_token_lists(
            lists, None, ours or {}, kept, place if place.is_dir() else None
        )
        if not memory_map:
            cells._vocabulary = cells.vocabulary
        cells._stored = (table, None if ours is None else ours["obs"])
        if lengths is not None:
            cells.check_lengths(lengths)
        return cells if vocabulary is None else cells.with_vocabulary(vocabulary)


def vocabulary_metadata(vocabulary: "GeneVocabulary | None") -> dict[str, Any]:
    """What a dataset carries of its vocabulary."""
    if vocabulary is None:
        return {}
    return {
        "vocabulary_checksum": vocabulary.checksum,
        "vocabulary_size": vocabulary.size,
        "special_tokens": vocabulary.special_tokens,
        "max_length": vocabulary.max_length,
    }
