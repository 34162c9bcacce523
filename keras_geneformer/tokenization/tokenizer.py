"""Rank value encoding of cells: counts in, tokens out."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from keras_geneformer.tokenization.arrow_format import (
    RESERVED,
    DatasetWriter,
    is_dataset_directory,
)
from keras_geneformer.tokenization.cell_totals import DEFAULT_N_COUNTS_KEY
from keras_geneformer.tokenization.dataset import CellDataset, vocabulary_metadata
from keras_geneformer.tokenization.gene_identity import DEFAULT_GENE_KEY
from keras_geneformer.tokenization.joined_obs import joined_obs
from keras_geneformer.tokenization.obs_columns import encode_obs
from keras_geneformer.tokenization.publishing import publish_directory
from keras_geneformer.tokenization.readers import expand_paths, opened, require_anndata
from keras_geneformer.tokenization.report import SourceReport, TokenizationReport
from keras_geneformer.tokenization.source_tokenization import SourceTokenization, TokenizedChunk
from keras_geneformer.tokenization.token_lists import TokenLists, id_dtype
from keras_geneformer.tokenization.vocabulary import GeneVocabulary

if TYPE_CHECKING:
    import anndata

_Options = tuple[str | None, str | None, bool]


class RankValueTokenizer:
    """Turns each cell into its genes' tokens, from the highest to the lowest rank value.

    A gene's rank value is its counts / the cell's total counts * 10,000 / the gene's nonzero
    median. Ties go by token id, so the order of the columns changes nothing. Cells are cut at
    `max_length`; where the vocabulary has `<cls>` and `<eos>`, these stand first and last and
    count. Input should be raw counts of all genes.

    Args:
        vocabulary: genes, medians and special tokens.
        max_length: the longest cell, in tokens. Default and most: the vocabulary's.

    Raises:
        ValueError: `max_length` is above the vocabulary's or leaves no room for a gene.

    Example:
        >>> from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
        >>> cells = RankValueTokenizer(tiny_vocabulary())(synthetic_cells(3))
        >>> len(cells), cells.obs["cell_type"].tolist(), cells.report.kept_cells
        (3, ['B cell', 'T cell', 'monocyte'], 3)

    Source: Theodoris et al., Nature 618, 616 (2023); the published package's tokenizer.
    """

    def __init__(self, vocabulary: GeneVocabulary, *, max_length: int | None = None) -> None:
        self.vocabulary = vocabulary
        self.max_length = vocabulary.max_length if max_length is None else int(max_length)
        least = 1 if vocabulary.cls_token_id is None else 3
        if not least <= self.max_length <= vocabulary.max_length:
            raise ValueError(
                f"max_length is {max_length}; expected {least} to {vocabulary.max_length}, the "
                f"most that models of the vocabulary {vocabulary.version!r} take"
            )

    @classmethod
    def from_preset(cls, source: str | Path, **options: Any) -> "RankValueTokenizer":
        """A tokenizer for the vocabulary of a preset (see `GeneVocabulary.load`)."""
        return cls(GeneVocabulary.load(source), **options)

    def __call__(
        self,
        adata: "anndata.AnnData",
        gene_key: str | None = DEFAULT_GENE_KEY,
        n_counts_key: str | None = DEFAULT_N_COUNTS_KEY,
        layer: str | None = None,
        *,
        check_counts: bool = True,
        progress: bool = False,
    ) -> CellDataset:
        """Tokenize the cells of an AnnData, which is left as it is.

        Args:
            adata: raw counts, CSR, CSC or dense, in memory or backed. Where obs has a column
                `filter_pass`, only cells with 1 in it are taken.
            gene_key: the column of var with Ensembl ids, symbols or aliases, in any case and with
                or without version suffix; None for var_names. Where var has no "ensembl_id",
                var_names and the usual columns are tried. Columns of one gene are summed; empty
                ids are left out.
            n_counts_key: the column of obs with total counts; where obs has no "n_counts",
                scanpy's "total_counts" is taken, else the counts of all genes are summed, as
                with None.
            layer: a layer with the counts, or "raw" for `adata.raw`. Default: X.
            check_counts: refuse values that look like logarithms.
            progress: show a progress bar.

        Returns:
            The tokenized cells, in their order, with all of obs. Cells without counts or without
            a known gene are dropped, logged as a warning and named in `.report`.

        Raises:
            TypeError: `adata` is no AnnData.
            ValueError: the data are no counts, no gene is known, no cell is left, total counts
                are not above zero, or a column or layer is missing.
        """
        require_anndata(adata)
        chunks: list[TokenizedChunk] = []
        report = self._tokenize(
            [adata],
            layer,
            (gene_key, n_counts_key, check_counts),
            lambda _number, chunk: chunks.append(chunk),
            adata.n_obs if progress else None,
        )
        rows = np.concatenate([chunk.rows for chunk in chunks])
        return self._dataset(chunks, adata.obs.iloc[rows], report)

    def tokenize_files(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        output: str | os.PathLike[str] | None = None,
        gene_key: str | None = DEFAULT_GENE_KEY,
        n_counts_key: str | None = DEFAULT_N_COUNTS_KEY,
        layer: str | None = None,
        *,
        obs_columns: Iterable[str] | None = None,
        check_counts: bool = True,
        progress: bool = False,
    ) -> CellDataset:
        """Tokenize `.h5ad` files, some cells at a time, in the sorted order of their paths.

        Args:
            paths: files, folders (their `.h5ad` files) and patterns such as "atlas/*.h5ad".
            output: a `.dataset` directory to write. It appears when it is complete and not
                before; an earlier dataset there is replaced in that moment. Default: none, the
                tokens are kept in memory.
            gene_key, n_counts_key, layer, check_counts: as in `__call__`, for every file.
            obs_columns: the columns of obs to keep. Default: all that any file has, with missing
                values for the cells of files that lack them. With several files a column
                `source_file` is added.
            progress: show a progress bar, with cells per second.

        Returns:
            The tokenized cells; memory mapped where they were written to `output`.

        Raises:
            FileNotFoundError: a file is missing, or a folder or pattern gives none.
            FileExistsError: `output` holds anything else than a dataset.
            ValueError: as in `__call__`; or a file is empty, truncated, damaged or no `.h5ad`.
                The message names it, and nothing is written.
        """
        files = expand_paths(paths)
        obs, starts = joined_obs(files, layer, None if obs_columns is None else list(obs_columns))
        options = (gene_key, n_counts_key, check_counts)
        expected = len(obs) if progress else None
        if output is not None:
            self._write(output, files, layer, options, obs, starts, expected)
            return CellDataset.load(output)
        chunks: list[TokenizedChunk] = []
        rows: list[np.ndarray] = []

        def keep(number: int, chunk: TokenizedChunk) -> None:
            chunks.append(chunk)
            rows.append(starts[number] + chunk.rows)

        report = self._tokenize(files, layer, options, keep, expected)
        return self._dataset(chunks, obs.iloc[np.concatenate(rows)], report)

    def _write(
        self,
        output: str | os.PathLike[str],
        files: list[Path],
        layer: str | None,
        options: _Options,
        obs: pd.DataFrame,
        starts: np.ndarray,
        expected: int | None,
    ) -> None:
        columns, kinds = encode_obs(obs, RESERVED)
        types = {name: column.type for name, column in columns.items()}
        with (
            publish_directory(output, is_dataset_directory) as partial,
            DatasetWriter(partial, id_dtype(self.vocabulary.size), types) as writer,
        ):

            def write(number: int, chunk: TokenizedChunk) -> None:
                rows = starts[number] + chunk.rows
                batch = {name: column.take(rows) for name, column in columns.items()}
                writer.write(chunk.token_ids, chunk.lengths, batch)

            report = self._tokenize(files, layer, options, write, expected)
            metadata = vocabulary_metadata(self.vocabulary) | {"report": report.to_dict()}
            writer.finish(metadata | {"obs": kinds})

    def _tokenize(
        self,
        sources: list[Any],
        layer: str | None,
        options: _Options,
        take: Callable[[int, TokenizedChunk], None],
        expected: int | None,
    ) -> TokenizationReport:
        """Send each source's chunks, with the source's number, to `take`.

        A bar for so many `expected` cells is shown; for None there is none.
        """
        reports: list[SourceReport] = []
        with tqdm(
            total=expected,
            disable=expected is None,
            desc="tokenize",
            unit="cell",
            unit_scale=True,
        ) as bar:
            for number, source in enumerate(sources):
                with opened(source, layer) as counts:
                    work = SourceTokenization(counts, self.vocabulary, self.max_length, *options)
                    for chunk in work.chunks():
                        take(number, chunk)
                        bar.update(chunk.cells_read)
                    reports.append(work.report())
        report = TokenizationReport(tuple(reports))
        if not report.kept_cells:
            raise ValueError(f"no cell is left to tokenize. {report.summary()}")
        return report

    def _dataset(
        self, chunks: list[TokenizedChunk], obs: pd.DataFrame, report: TokenizationReport
    ) -> CellDataset:
        offsets = np.zeros(len(obs) + 1, dtype=np.int64)
        np.cumsum(np.concatenate([chunk.lengths for chunk in chunks]), out=offsets[1:])
        dtype = id_dtype(self.vocabulary.size)
        token_ids = np.concatenate([chunk.token_ids.astype(dtype) for chunk in chunks])
        metadata = vocabulary_metadata(self.vocabulary) | {"report": report.to_dict()}
        return CellDataset.from_token_lists(TokenLists([(token_ids, offsets)]), obs, metadata)
