"""Rank value encoding of cells: counts in, tokens out."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from keras_geneformer.tokenization.cell_totals import DEFAULT_N_COUNTS_KEY
from keras_geneformer.tokenization.cells.dataset import CellDataset, vocabulary_metadata
from keras_geneformer.tokenization.cells.token_lists import TokenLists
from keras_geneformer.tokenization.corpus_tokenization import tokenize_corpus
from keras_geneformer.tokenization.gene_identity import DEFAULT_GENE_KEY
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.readers.sources import expand_paths, opened, require_anndata
from keras_geneformer.tokenization.report import TokenizationReport
from keras_geneformer.tokenization.source_tokenization import (
    SourceOptions,
    SourceTokenization,
    TokenizedChunk,
    log_report,
)

if TYPE_CHECKING:
    import anndata


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
        keep_counts: bool = False,
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
            keep_counts: keep the counts per 10,000 of the cell beside the ids, in `.counts`, as the
                published tokenizer does on request.
            check_counts: refuse values that look like logarithms.
            progress: show a progress bar.

        Returns:
            The tokenized cells, in their order, with all of obs. Cells without counts or without
            a known gene are dropped, logged as a warning and named in `.report`.

        Raises:
            TypeError: `adata` is no AnnData.
            ValueError: the data are no counts, less than 5% of them belong to known genes, no
                cell is left, total counts are not above zero, or a column or layer is missing.
        """
        require_anndata(adata)
        options = self._options(
            gene_key, n_counts_key, layer, check_counts=check_counts, keep_counts=keep_counts
        )
        with opened(adata, layer) as source:
            work = SourceTokenization(source, self.vocabulary, options)
            work.check()
            chunks = []
            bar = tqdm(
                total=adata.n_obs,
                disable=not progress,
                desc="tokenize",
                unit="cell",
                unit_scale=True,
            )
            with bar:
                for chunk in work.chunks():
                    chunks.append(chunk)
                    bar.update(chunk.cells_read)
        report = TokenizationReport((work.report(),))
        log_report(report.sources[0])
        if not report.kept_cells:
            raise ValueError(f"no cell is left to tokenize. {report.summary()}")
        return self._dataset(chunks, adata, report)

    def tokenize_files(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        output: str | os.PathLike[str] | None = None,
        gene_key: str | None = DEFAULT_GENE_KEY,
        n_counts_key: str | None = DEFAULT_N_COUNTS_KEY,
        layer: str | None = None,
        *,
        obs_columns: Iterable[str] | None = None,
        keep_counts: bool = False,
        check_counts: bool = True,
        workers: int = 1,
        client: Any = None,
        skip_broken: bool = False,
        progress: bool = False,
    ) -> CellDataset:
        """Tokenize files of counts of any number and size, in the sorted order of their paths.

        Cells stream from the files to the dataset, some hundred at a time. What is finished is kept
        beside `output`, in `.<name>.partial`, until all is: after an error, an interruption or a
        kill the same call goes on with what is missing. The bytes of the dataset are the same
        whatever the number of workers.

        Args:
            paths: files, folders and patterns such as "atlas/*.h5ad" (see `readers.file_source`
                for the formats).
            output: a `.dataset` directory to write ("~" is the home folder). It appears when it is
                complete and not before; an earlier dataset there is replaced in that moment.
                Default: none, the tokens are kept in memory.
            gene_key, n_counts_key, layer, keep_counts, check_counts: as in `__call__`, for every
                file.
            obs_columns: the columns of obs to keep. Default: all that any file has, with missing
                values for the cells of files that lack them. With several files a column
                `source_file` is added, which keeps equal cell names of two files apart.
            workers: processes to work in.
            client: a `dask.distributed.Client` to work on in place of `workers`. Its workers must
                see `paths` and `output` under the same names.
            skip_broken: finish the other files where one cannot be read to its end, log it as an
                error and name it in `.report.broken`. Default: such a file is an error.
            progress: show a progress bar, with cells per second.

        Returns:
            The tokenized cells; memory mapped where they were written to `output`.

        Raises:
            FileNotFoundError: a file is missing, or a folder or pattern gives none.
            FileExistsError: `output` holds anything else than a dataset.
            BlockingIOError: another process is writing `output`.
            OSError: the disk is full.
            ValueError: as in `__call__`; or files are empty, truncated, damaged or of no known
                format. The message names them, and `output` is as it was before.
        """
        files = expand_paths(paths)
        options = self._options(
            gene_key, n_counts_key, layer, check_counts=check_counts, keep_counts=keep_counts
        )
        columns = None if obs_columns is None else list(obs_columns)
        arguments = (self.vocabulary, options, columns, workers, client, skip_broken, progress)
        if output is not None:
            output = Path(os.path.expanduser(output))
            tokenize_corpus(files, output, *arguments)
            return CellDataset.load(output)
        with tempfile.TemporaryDirectory(prefix="keras_geneformer-") as folder:
            tokenize_corpus(files, Path(folder) / "cells.dataset", *arguments)
            return CellDataset.load(Path(folder) / "cells.dataset", memory_map=False)

    def _options(
        self,
        gene_key: str | None,
        n_counts_key: str | None,
        layer: str | None,
        *,
        check_counts: bool,
        keep_counts: bool,
    ) -> SourceOptions:
        return SourceOptions(
            gene_key, n_counts_key, layer, check_counts, keep_counts, self.max_length
        )

    def _dataset(
        self, chunks: list[TokenizedChunk], adata: "anndata.AnnData", report: TokenizationReport
    ) -> CellDataset:
        rows = np.concatenate([chunk.rows for chunk in chunks])
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(np.concatenate([chunk.lengths for chunk in chunks]), out=offsets[1:])
        token_ids = np.concatenate([chunk.token_ids for chunk in chunks])
        counts = [chunk.counts for chunk in chunks if chunk.counts is not None]
        metadata = vocabulary_metadata(self.vocabulary) | {"report": report.to_dict()}
        return CellDataset.from_token_lists(
            TokenLists([(token_ids, offsets)]),
            adata.obs.iloc[rows],
            metadata,
            TokenLists([(np.concatenate(counts), offsets)]) if counts else None,
            self.vocabulary,
        )
