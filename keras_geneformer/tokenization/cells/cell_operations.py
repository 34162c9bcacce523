"""What is done with whole datasets: joined, chosen from, described, written for others."""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.cells.obs_operations import (
    chosen_rows,
    merged_obs,
    sampled_rows,
    stacked_obs,
)
from keras_geneformer.tokenization.cells.token_checks import check_ids, check_vocabulary
from keras_geneformer.tokenization.cells.token_lists import TokenLists
from keras_geneformer.tokenization.genes.published_pickles import read_published_lengths
from keras_geneformer.tokenization.report import TokenizationReport

if TYPE_CHECKING:
    from keras_geneformer.tokenization.cells.dataset import CellDataset
    from keras_geneformer.tokenization.cells.description import CellDescription
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

logger = logging.getLogger(__name__)


class CellOperations:
    """The operations of `CellDataset`, which is the class to use.

    None changes the dataset, none copies token ids that are memory mapped, and what they give is
    written to disk by `save`.
    """

    @classmethod
    def concat(
        cls: Any,
        datasets: Sequence["CellDataset"],
        *,
        sources: Sequence[str] | None = None,
        source_key: str = "source",
    ) -> "CellDataset":
        """Several datasets as one, their cells in order; names of cells stay as they are.

        Args:
            datasets: of one vocabulary.
            sources: a name for each dataset, which becomes a categorical column of obs and keeps
                cells of one name apart.
            source_key: the name of that column.

        Returns:
            All cells. obs has the columns of all, with missing values where a dataset lacks one;
            categories are those of all. `report` is there where every dataset was tokenized
            from counts.

        Raises:
            ValueError: there are no datasets, they are of different vocabularies, or names and
                datasets differ in number.

        Example:
            >>> from keras_geneformer.testing import synthetic_dataset
            >>> two = synthetic_dataset(3), synthetic_dataset(2, seed=1)
            >>> len(type(two[0]).concat(two, sources=["a", "b"]))
            5
        """
        parts = list(datasets)
        if not parts:
            raise ValueError("no datasets to join")
        for number, part in enumerate(parts):
            if part.vocabulary_checksum != parts[0].vocabulary_checksum:
                shown = [str(p.vocabulary_checksum or "unknown")[:12] for p in (parts[0], part)]
                raise ValueError(
                    f"dataset {number} is of the vocabulary {shown[1]}, dataset 0 of {shown[0]}: "
                    "their tokens mean different genes. Tokenize with one vocabulary, or say "
                    "which it is with with_vocabulary"
                )
        obs = stacked_obs([part.obs for part in parts])
        if sources is not None:
            if len(sources) != len(parts):
                raise ValueError(f"{len(sources)} sources for {len(parts)} datasets")
            if source_key in obs:
                raise ValueError(
                    f"obs has a column {source_key!r} already: give source_key another"
                )
            codes = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
            names = np.array([str(source) for source in sources], dtype=object)[codes]
            obs[source_key] = pd.Categorical(
                names, categories=list(dict.fromkeys(map(str, sources)))
            )
        metadata = parts[0].metadata
        reports = [p.report for p in parts if isinstance(p.report, TokenizationReport)]
        metadata["report"] = None
        if len(reports) == len(parts):
            joined = tuple(source for report in reports for source in report.sources)
            metadata["report"] = TokenizationReport(joined).to_dict()
        lists = TokenLists.joined([part.token_lists for part in parts])
        kept = [part.counts for part in parts if part.counts is not None]
        if kept and len(kept) < len(parts):
            logger.warning(
                "counts are left out, as %d of %d datasets have them", len(kept), len(parts)
            )
        counts = TokenLists.joined(kept) if len(kept) == len(parts) else None
        return cls.from_token_lists(lists, obs, metadata, counts, parts[0]._vocabulary)

    def filter(
        self: Any,
        chosen: Any = None,
        *,
        min_length: int | None = None,
        max_length: int | None = None,
    ) -> "CellDataset":
        """The cells for which all conditions hold, in their order.

        Args:
            chosen: a query on obs such as "cell_type == 'B cell'" (see `pandas.DataFrame.query`),
                a function from obs to a mask, or a mask of bools. Default: all cells.
            min_length: the fewest tokens of a cell, special ones included.
            max_length: the most.

        Raises:
            ValueError: the query cannot be answered, or the mask has another length or type.

        Example:
            >>> from keras_geneformer.testing import synthetic_dataset
            >>> len(synthetic_dataset(9).filter("cell_type == 'B cell'", min_length=1))
            3
        """
        mask = np.ones(len(self), dtype=bool)
        if chosen is not None:
            mask &= chosen_rows(self.obs, chosen)
        if min_length is not None:
            mask &= self.lengths >= min_length
        if max_length is not None:
            mask &= self.lengths <= max_length
        return self.subset(mask)

    def sample(
        self: Any,
        n: int | None = None,
        stratify: str | None = None,
        *,
        per_class: int | None = None,
        seed: int = 0,
    ) -> "CellDataset":
        """Cells drawn at random, without replacement; the same seed draws the same.

        Args:
            n: how many cells; None for all that `per_class` leaves.
            stratify: a column of obs whose values keep their shares (rounded, the largest
                remainders up). Missing values are a class of their own.
            per_class: the most cells of a class of `stratify`.
            seed: of the draw.

        Returns:
            The cells drawn, in their order.

        Raises:
            ValueError: there is no such column, or there are not as many cells.

        Example:
            >>> from keras_geneformer.testing import synthetic_dataset
            >>> drawn = synthetic_dataset(90).sample(6, "cell_type")
            >>> drawn.obs["cell_type"].value_counts().tolist()
            [2, 2, 2]
        """
        return self.subset(sampled_rows(self.obs, n, stratify, per_class, seed))

    def merge_obs(
        self: Any, frame: pd.DataFrame, on: str | Sequence[str] | None = None
    ) -> "CellDataset":
        """The same cells with the columns of a table added to obs.

        Args:
            frame: its rows in any order.
            on: the column, or columns, that obs and `frame` both have and that tell the rows of
                `frame` apart; a missing value finds no row. Default: the index of `frame` holds
                the cells' names.

        Returns:
            All cells, in their order. Cells that `frame` lacks have missing values, and a log
            line says how many.

        Raises:
            ValueError: two rows of `frame` have one label, a column stands in both, one to join
                on is missing, or no cell is in `frame`.
        """
        return self.from_token_lists(
            self.token_lists,
            merged_obs(self.obs, frame, on),
            self.metadata,
            self.counts,
            self._vocabulary,
        )

    def with_vocabulary(
        self: Any, vocabulary: "GeneVocabulary", *, check: bool = True
    ) -> "CellDataset":
        """The same cells, known to be of a vocabulary; for datasets that others wrote.

        Args:
            vocabulary: the one the cells were tokenized with.
            check: look at every token id, which reads the whole dataset.

        Raises:
            ValueError: an id stands for nothing in the vocabulary, or the dataset says that it
                was made with another one.
        """
        from keras_geneformer.tokenization.cells.dataset import vocabulary_metadata

        check_vocabulary(self, vocabulary)
        first = 0
        for ids, offsets in self.token_lists.pieces() if check else ():
            check_ids(ids, np.diff(offsets), vocabulary, "cell", first)
            first += len(offsets) - 1
        lists, metadata = self.token_lists, self.metadata | vocabulary_metadata(vocabulary)
        # An obs that was not looked at stays on disk.
        if self._stored is None or "obs" in vars(self):
            return self.from_token_lists(lists, self.obs, metadata, self.counts, vocabulary)
        cells = self.from_token_lists(lists, None, metadata, self.counts, vocabulary)
        cells._stored = self._stored
        return cells

    def check_lengths(self: Any, lengths: str | os.PathLike[str] | Iterable[int]) -> None:
        """Compare the cells with the lengths that are published beside a dataset.

        Args:
            lengths: a number of tokens for each cell, or the pickle with them (such as
                `genecorpus_30M_2048_lengths.pkl`), which is read without running anything in it.

        Raises:
            ValueError: there are more or fewer lengths than cells, or one differs; or the file is
                no pickled list of integers.
        """
        name = "the list of lengths"
        if isinstance(lengths, str | os.PathLike):
            name, lengths = str(lengths), read_published_lengths(Path(lengths))
        stated = np.asarray(lengths)
        if len(stated) != len(self):
            raise ValueError(
                f"{name} has {len(stated)} entries for {len(self)} cells: it belongs to another "
                "dataset, or the dataset was filtered since"
            )
        wrong = np.flatnonzero(stated != self.lengths)
        if len(wrong):
            raise ValueError(
                f"{name} differs from the dataset in {len(wrong)} of {len(self)} cells, first in "
                f"cell {wrong[0]}: {stated[wrong[0]]} and {self.lengths[wrong[0]]} tokens. It "
                "belongs to another dataset, or the cells are in another order"
            )

    def describe(
        self: Any, vocabulary: "GeneVocabulary | None" = None, *, top: int = 20
    ) -> "CellDescription":
        """Lengths, unknown genes, most frequent tokens and obs columns; print what it gives.

        Args:
            vocabulary: the cells' vocabulary, for symbols and to find ids that stand for nothing.
            top: how many of the most frequent tokens are listed.

        Returns:
            A `CellDescription`. All token ids are read, some at a time.

        Raises:
            ValueError: the dataset was made with another vocabulary.

        Example:
            >>> from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary
            >>> found = synthetic_dataset(9).describe(tiny_vocabulary())
            >>> found.cells, found.unknown_share
            (9, 0.0)
        """
        from keras_geneformer.tokenization.cells.description import describe_cells

        return describe_cells(self, vocabulary, top=top)

    @classmethod
    def from_parquet(
        cls,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        output: str | os.PathLike[str] | None = None,
        vocabulary: "GeneVocabulary | None" = None,
        *,
        progress: bool = False,
    ) -> "CellDataset":
        """Read parquet shards of tokenized cells, some cells at a time, files in sorted order.

        Args:
            paths: files, folders (their `.parquet` files) and patterns such as "x/*.parquet".
                Each has a column `input_ids` with lists of integers; a column `length` is
                compared with them; every other column is one of obs, but for those of lists.
            output: a `.dataset` directory to write; only some cells are in memory then. It
                appears when it is complete. Default: none, all is kept in memory.
            vocabulary: of the ids, which are checked against it. Default: what the files say,
                where we wrote them, else unknown.
            progress: show a progress bar.

        Returns:
            The cells, memory mapped where they were written to `output`. Names of cells are the
            index that pandas wrote, else "0", "1", ...

        Raises:
            FileNotFoundError: a file is missing, or a folder or pattern gives none.
            FileExistsError: `output` holds anything else than a dataset.
            ValueError: a file is damaged or has no such column, an id stands for nothing in the
                vocabulary, or a length is wrong. The message names the file.
        """
        from keras_geneformer.tokenization.cells.parquet_tokens import read_parquet_tokens

        return read_parquet_tokens(paths, output, vocabulary, progress=progress)

    def to_parquet(
        self: Any, directory: str | os.PathLike[str], cells_per_shard: int = 100_000
    ) -> list[Path]:
        """Write the cells as parquet shards, for tools that read no Arrow streams.

        The columns are `input_ids`, `length` and those of obs, as in a `.dataset`; the schema's
        metadata keep what `from_parquet` needs to give back the same dataset, but for its report.

        Args:
            directory: appears when it is complete; earlier shards there are replaced.
            cells_per_shard: the most cells of a file.

        Returns:
            The files, `cells-00000-of-00003.parquet` and so on.

        Raises:
            FileExistsError: the directory holds anything else than such files.
        """
        from keras_geneformer.tokenization.cells.parquet_tokens import write_parquet_tokens

        return write_parquet_tokens(self, directory, cells_per_shard)
