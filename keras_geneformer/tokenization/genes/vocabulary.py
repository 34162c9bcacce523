"""Genes, their token ids, nonzero medians, symbols and aliases, and the special tokens."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_geneformer.tokenization.genes.vocabulary_checks import check_fields, without_version
from keras_geneformer.tokenization.genes.vocabulary_format import write_vocabulary
from keras_geneformer.tokenization.genes.vocabulary_sources import read_fields

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import pandas as pd

    from keras_geneformer.tokenization.genes.orthologs import Orthologs


class GeneVocabulary:
    """The genes a model knows, each with its token id and nonzero median.

    Use `load` for the published vocabularies or a saved one, `fit` for a new corpus. A
    vocabulary does not change once made.

    Args:
        genes: gene ids, shape (G,), e.g. Ensembl ids.
        tokens: token id of each gene, shape (G,), distinct from one another and from the special
            tokens.
        medians: median, over the cells of a corpus where the gene is detected, of its counts per
            10,000 counts of the cell, shape (G,), above zero.
        symbols: symbol of each gene, "" where unknown. Default: all unknown.
        aliases: other names of genes (ids, symbols; matched whatever their case) to gene ids.
            The gene ids themselves need not be listed.
        special_tokens: names to token ids; `<pad>` and `<mask>` are required, `<cls>` and
            `<eos>` come together or not at all.
        version: a name for it, e.g. "v1".
        max_length: longest input of the models that use it, in tokens, special ones included.

    Attributes:
        genes, tokens, medians, symbols: arrays of shape (G,), in the order of token ids.
        aliases: dict, upper-case id, symbol or alias to gene id.
        special_tokens: dict, name to token id.
        size: the number of token ids a model needs (the largest one plus 1); `len()` is the
            number of genes.
        checksum: sha256 (hex) over genes, tokens, medians and special tokens, the same wherever
            the vocabulary was loaded from. Symbols and aliases do not enter it.

    Raises:
        ValueError: the fields contradict one another.

    Example:
        >>> vocabulary = GeneVocabulary(
        ...     ["ENSG00000141510", "ENSG00000111640"], [2, 3], [1.5, 12.0],
        ...     symbols=["TP53", "GAPDH"], aliases={"TP53": "ENSG00000141510"})
        >>> vocabulary.tokens_of(["tp53", "ENSG00000111640.4", "no such gene"])
        array([ 2,  3, -1], dtype=int32)
        >>> len(vocabulary), vocabulary.size
        (2, 4)

    Source: Theodoris et al., Nature 618, 616 (2023), "Rank value encoding".
    """

    def __init__(
        self,
        genes: Sequence[str] | np.ndarray,
        tokens: Sequence[int] | np.ndarray,
        medians: Sequence[float] | np.ndarray,
        *,
        symbols: Sequence[str] | np.ndarray | None = None,
        aliases: Mapping[str, str] | None = None,
        special_tokens: Mapping[str, int] | None = None,
        version: str = "custom",
        max_length: int = 2048,
    ) -> None:
        given_ids = np.asarray(tokens)
        if len(given_ids) and given_ids.dtype.kind not in "iu":
            raise ValueError(f"tokens are {given_ids.dtype}; expected integers")
        ids = given_ids.astype(np.int32)
        order = np.argsort(ids, kind="stable")
        self.tokens = ids[order]
        self.genes = np.asarray(genes, dtype=str)[order]
        self.medians = np.asarray(medians, dtype=np.float64)[order]
        given = [""] * len(ids) if symbols is None else symbols
        self.symbols = np.asarray(given, dtype=str)[order]
        self.special_tokens = (
            {"<pad>": 0, "<mask>": 1} if special_tokens is None else dict(special_tokens)
        )
        self.version = version
        self.max_length = int(max_length)
        check_fields(
            self.genes,
            self.tokens,
            self.medians,
            self.symbols,
            self.special_tokens,
            self.max_length,
        )
        names = {gene.upper(): gene for gene in self.genes.tolist()}
        self.aliases = names | {alias.upper(): gene for alias, gene in (aliases or {}).items()}
        unknown = set(self.aliases.values()) - set(names.values())
        if unknown:
            raise ValueError(f"aliases lead to {len(unknown)} genes not in genes: {min(unknown)}")
        for array in (self.genes, self.tokens, self.medians, self.symbols):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.genes)

    def __repr__(self) -> str:
        return (
            f"GeneVocabulary({self.version!r}: {len(self)} genes, {self.size} tokens, "
            f"max_length {self.max_length}, checksum {self.checksum[:12]})"
        )

    @property
    def size(self) -> int:
        """The number of token ids a model needs: the largest one plus 1."""
        return int(max(self.tokens[-1], *self.special_tokens.values())) + 1

    @property
    def pad_token_id(self) -> int:
        """Token id of `<pad>`."""
        return self.special_tokens["<pad>"]

    @property
    def mask_token_id(self) -> int:
        """Token id of `<mask>`."""
        return self.special_tokens["<mask>"]

    @property
    def cls_token_id(self) -> int | None:
        """Token id of `<cls>`, the first of each cell; None where the vocabulary has none."""
        return self.special_tokens.get("<cls>")

    @property
    def eos_token_id(self) -> int | None:
        """Token id of `<eos>`, the last of each cell; None where the vocabulary has none."""
        return self.special_tokens.get("<eos>")

    @cached_property
    def checksum(self) -> str:
        """The sha256 (hex) over genes, tokens, medians and special tokens."""
        specials = sorted(self.special_tokens.items(), key=lambda item: item[1])
        lines = ["keras_geneformer vocabulary 1"]
        lines += [f"{name}\t{token}" for name, token in specials]
        lines += [
            f"{gene}\t{token}\t{median.hex()}"
            for gene, token, median in zip(
                self.genes.tolist(), self.tokens.tolist(), self.medians.tolist()
            )
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def _index(self) -> dict[str, int]:
        """Upper-case id, symbol or alias to the gene's position in `genes`."""
        positions = {gene: i for i, gene in enumerate(self.genes.tolist())}
        return {alias: positions[gene] for alias, gene in self.aliases.items()}

    def positions_of(self, names: Iterable[object]) -> np.ndarray:
        """Where genes stand in `genes`, by id, symbol or alias.

        Case and surrounding blanks are ignored. An Ensembl id's version suffix (`ENSG….3`) is
        dropped where the name is not known with it.

        Args:
            names: ids, symbols or aliases; anything but a str is unknown.

        Returns:
            int64 array, -1 where a name is unknown.
        """
        index = self._index
        found = []
        for name in names:
            key = name.strip().upper() if isinstance(name, str) else ""
            position = index.get(key, -1)
            if position < 0 and "." in key:
                position = index.get(without_version(key), -1)
            found.append(position)
        return np.array(found, dtype=np.int64)

    def tokens_of(self, names: Iterable[object]) -> np.ndarray:
        """Token ids of genes, by id, symbol or alias (see `positions_of`); -1 where unknown."""
        positions = self.positions_of(names)
        return np.where(positions < 0, np.int32(-1), self.tokens[positions]).astype(np.int32)

    def genes_of(self, tokens: Iterable[int] | np.ndarray) -> np.ndarray:
        """Gene ids of tokens; special tokens give their names.

        Raises:
            ValueError: a token id stands for nothing in this vocabulary.
        """
        return self._named(tokens, self.genes)

    def symbols_of(self, tokens: Iterable[int] | np.ndarray) -> np.ndarray:
        """Symbols of tokens, the gene id where there is no symbol; special tokens by name.

        Raises:
            ValueError: a token id stands for nothing in this vocabulary.
        """
        return self._named(tokens, np.where(self.symbols == "", self.genes, self.symbols))

    def _named(self, tokens: Iterable[int] | np.ndarray, names: np.ndarray) -> np.ndarray:
        ids = np.asarray(tokens if isinstance(tokens, np.ndarray) else list(tokens), dtype=np.int64)
        table = np.full(self.size, "", dtype=object)
        table[self.tokens] = names
        for name, token in self.special_tokens.items():
            table[token] = name
        outside = (ids < 0) | (ids >= self.size)
        bad = outside | (table[np.where(outside, 0, ids)] == "")
        if bad.any():
            raise ValueError(f"token {ids[bad].flat[0]} stands for nothing in {self!r}")
        return table[ids].astype(str)

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        version: str | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
    ) -> "GeneVocabulary":
        """Load a published or a saved vocabulary.

        Args:
            source: "v1" or "v2" for the published ones, from the Hugging Face hub repository
                `ctheodoris/Geneformer`; the name of a preset for the one it belongs to, such as
                "geneformer_mini" or "geneformer_v1_10m", or a preset of ours on the hub, as
                "hf://organisation/repository/subfolder"; or a local directory: one with the
                published pickles, a clone of that repository, one written by `save`, or a preset
                that holds one.
            version: "v1" or "v2", where a directory holds both.
            revision: commit, branch or tag on the hub. Default: the commit this package is
                tested against.
            cache_dir: the hub's cache folder. Default: the one of `huggingface_hub`.

        Returns:
            The vocabulary.

        Raises:
            FileNotFoundError: no such directory, or it holds no vocabulary, or a file is missing.
            ValueError: a file is damaged or holds what a vocabulary may not hold.
            ConnectionError: the hub was not reached and its cache has no copy.
        """
        fields, stated = read_fields(source, version, revision, cache_dir)
        vocabulary = cls(**fields)
        if stated is not None and vocabulary.checksum != stated[1]:
            raise ValueError(
                f"{stated[0]} states the vocabulary checksum {stated[1][:12]}, its genes have "
                f"{vocabulary.checksum[:12]}: save the vocabulary again"
            )
        return vocabulary

    @classmethod
    def fit(
        cls,
        data: Any,
        *,
        gene_key: str | None = "ensembl_id",
        n_counts_key: str | None = "n_counts",
        layer: str | None = None,
        biotypes: Sequence[str] | None = None,
        biotype_key: str | None = None,
        biotype_table: "str | os.PathLike[str] | pd.DataFrame | None" = None,
        min_cells: int = 1,
        max_genes: int | None = None,
        extend: "GeneVocabulary | None" = None,
        special_tokens: Sequence[str] | None = None,
        max_length: int | None = None,
        name: str = "custom",
        check_counts: bool = True,
        workers: int = 1,
        executor: "Executor | None" = None,
        progress: bool = False,
    ) -> "GeneVocabulary":
        """Fit a vocabulary to a corpus, of any species and size.

        The nonzero median of a gene is the median, over the cells in which it is detected, of its
        counts per 10,000 counts of the cell. It is exact for corpora of up to 3 million nonzero
        counts, and for rare genes of larger ones; else at most 51% of the values lie on either
        side of it, and it is held in bounded memory (see `NonzeroMedians`). Genes that no cell
        has are left out. Tokens follow the special ones in the alphabetical order of the gene
        ids. Exact medians do not depend on the order of files, cells and columns; and nothing
        depends on the number of workers.

        Args:
            data: an AnnData or several, or paths: files, folders, patterns; or `GeneMedians`,
                e.g. of merged parts, for which what is said on reading counts for nothing. Cells
                whose `filter_pass` in obs is not 1 are left out.
            gene_key: the column of var with gene ids; where var has no "ensembl_id", or with
                None, var_names. Version suffixes of Ensembl ids are dropped, columns of one gene
                are summed and empty ids left out. Symbols come from the var column `symbol` or
                the like, else from var_names.
            n_counts_key: the column of obs with total counts (see `RankValueTokenizer`).
            layer: the layer with the counts, or "raw". Default: X.
            biotypes: keep genes of these only, e.g. ("protein_coding", "miRNA") as Geneformer's
                vocabularies do. Default: of any.
            biotype_key: the column of var with biotypes.
            biotype_table: a table of gene ids and biotypes in place of it: a DataFrame, or a
                `.csv`, `.tsv` or `.parquet` file, with columns `ensembl_id` and `gene_type`.
            min_cells: keep genes detected in so many cells at least.
            max_genes: keep no more genes: those detected in most cells, ties by id.
            extend: a vocabulary whose genes stay, with their token ids and medians, as models
                pretrained with it expect; only new genes are filtered, and their ids follow. All
                genes count for `max_genes`.
            special_tokens: their names, in the order of their ids from 0. Default: those of
                `extend`, else `<pad>` and `<mask>`.
            max_length: longest input of the models that will use it, in tokens. Default: that of
                `extend`, else 2048.
            name: its `version`.
            check_counts: refuse values that look like logarithms.
            workers: processes that read files, one file each.
            executor: runs them instead (see `fit_medians`).
            progress: show a progress bar.

        Returns:
            The vocabulary.

        Raises:
            TypeError: `data` is neither AnnData nor paths nor `GeneMedians`.
            ValueError: the data are no counts or already normalised, no gene is left, or the
                arguments contradict one another.

        Example:
            >>> from keras_geneformer.testing import synthetic_cells
            >>> GeneVocabulary.fit(synthetic_cells(30), min_cells=5, max_genes=100).size
            102
        """
        from keras_geneformer.tokenization.medians.gene_medians import GeneMedians
        from keras_geneformer.tokenization.medians.gene_selection import (
            check_selection,
            read_biotypes,
            vocabulary_fields,
        )
        from keras_geneformer.tokenization.medians.median_fitting import fit_medians

        if biotypes is None and (biotype_key is not None or biotype_table is not None):
            raise ValueError("biotypes to keep are not given; expected e.g. ('protein_coding',)")
        check_selection(
            min_cells=min_cells,
            max_genes=max_genes,
            extend=extend,
            special_tokens=special_tokens,
            max_length=max_length,
        )
        known_biotypes = None if biotype_table is None else read_biotypes(biotype_table)
        if not isinstance(data, GeneMedians):
            if biotypes is not None and (biotype_key is None) == (biotype_table is None):
                raise ValueError("biotypes need either biotype_key (a var column) or biotype_table")
            data = fit_medians(
                data,
                gene_key=gene_key,
                n_counts_key=n_counts_key,
                layer=layer,
                biotype_key=biotype_key,
                check_counts=check_counts,
                workers=workers,
                executor=executor,
                progress=progress,
            )
        fields = vocabulary_fields(
            data,
            biotypes=biotypes,
            known_biotypes=known_biotypes,
            min_cells=min_cells,
            max_genes=max_genes,
            extend=extend,
            special_tokens=special_tokens,
            max_length=max_length,
            name=name,
        )
        return cls(**fields)

    def with_orthologs(
        self, table: "str | os.PathLike[str] | pd.DataFrame | Orthologs"
    ) -> "GeneVocabulary":
        """This vocabulary, understanding the ids and symbols of another species as well.

        Genes, tokens, medians and checksum are the same, so that a model takes what is tokenized
        with it.

        Args:
            table: `Orthologs`, or a table of them (see `Orthologs.read`); one-to-one rows count.

        Returns:
            A vocabulary with more aliases.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a column is missing, or no ortholog is a gene of the vocabulary.
        """
        from keras_geneformer.tokenization.genes.orthologs import Orthologs, ortholog_aliases

        orthologs = table if isinstance(table, Orthologs) else Orthologs.read(table)
        fields = self._fields() | {"aliases": ortholog_aliases(orthologs, self.genes, self.aliases)}
        return GeneVocabulary(**fields)

    def save(self, directory: str | Path) -> None:
        """Write the vocabulary in our own format (docs/vocabulary-format.md).

        An earlier vocabulary in the directory is replaced in one step.

        Args:
            directory: made where missing.

        Raises:
            FileExistsError: the directory holds anything else than a vocabulary.
        """
        write_vocabulary(directory, self._fields(), self.checksum)

    def _fields(self) -> dict[str, Any]:
        names = ("genes", "tokens", "medians", "symbols", "aliases", "special_tokens")
        fields = {name: getattr(self, name) for name in names}
        return fields | {"version": self.version, "max_length": self.max_length}
