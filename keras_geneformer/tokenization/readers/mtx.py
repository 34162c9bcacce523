"""Reads folders of `matrix.mtx`, `barcodes.tsv` and `features.tsv` (or `genes.tsv`), gzip too."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from keras_geneformer.tokenization.readers.count_source import CountSource, missing_layer
from keras_geneformer.tokenization.readers.feature_tables import gene_table
from keras_geneformer.tokenization.readers.file_checks import GZIP, first_bytes
from keras_geneformer.tokenization.readers.row_scratch import Entries, scratch_rows
from keras_geneformer.tokenization.readers.tenx_h5 import chosen_features

MATRIX_NAMES = ("matrix.mtx", "matrix.mtx.gz")
_BARCODES = ("barcodes.tsv",)
_FEATURES = ("features.tsv", "genes.tsv")
_EXPECTED = "'%%MatrixMarket matrix coordinate integer general'"
_DTYPES = {"integer": np.int32, "real": np.float64}
_BLOCK_LINES = 2_000_000


@dataclass(frozen=True)
class _Header:
    rows: int
    columns: int
    entries: int
    dtype: type
    lines: int


def matrix_file(folder: Path) -> Path | None:
    """The matrix of a folder that Cell Ranger or STARsolo wrote; None for another folder.

    Raises:
        ValueError: it has the matrix twice, plain and compressed.
    """
    found = [folder / name for name in MATRIX_NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise ValueError(f"{folder} has matrix.mtx and matrix.mtx.gz; give the one that is meant")
    return found[0] if found else None


def mtx_source(path: Path, layer: str | None) -> CountSource:
    """The cells of a Matrix Market file with its barcodes and features beside it.

    What stands before "matrix.mtx" in the file's name stands before theirs too
    ("GSM1_matrix.mtx.gz", "GSM1_barcodes.tsv.gz"). The matrix is genes by cells, as Cell Ranger
    writes it, or cells by genes, where only that agrees with the other files. It goes once to a
    temporary copy on disk, at the first read, whatever the order of its entries.

    Args:
        path: the matrix, or the folder that holds it.
        layer: None; there are no layers.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is empty, truncated, or not what it should be, or the files do not
            belong together.
    """
    if layer is not None:
        raise ValueError(missing_layer(str(path), layer, []))
    matrix = (matrix_file(path) if path.is_dir() else path) or path / MATRIX_NAMES[0]
    header = _header(matrix)
    barcodes_path, features_path = _beside(matrix, _BARCODES), _beside(matrix, _FEATURES)
    barcodes = _table(barcodes_path)[0].to_numpy(object)
    features = _table(features_path)
    shape = (header.rows, header.columns)
    genes_first = shape == (len(features), len(barcodes))
    if not genes_first and shape != (len(barcodes), len(features)):
        raise ValueError(
            f"{matrix} is {header.rows} by {header.columns}, but {features_path.name} has "
            f"{len(features)} lines and {barcodes_path.name} {len(barcodes)}; expected as many "
            "features as rows and as many barcodes as columns. Do they belong together?"
        )

    def blocks() -> Iterator[Entries]:
        for genes, cells, values in _entries(matrix, header):
            yield (cells, genes, values) if genes_first else (genes, cells, values)

    rows = scratch_rows(
        blocks, (len(barcodes), len(features)), header.entries, header.dtype, str(matrix)
    )
    symbols = features[1].to_numpy(object) if features.shape[1] > 1 else None
    var, read = gene_table(features[0].to_numpy(object), symbols), rows.read
    if features.shape[1] > 2:
        chosen = chosen_features(features[2].to_numpy(object), str(features_path))
        if len(chosen) < len(features):
            var = var.iloc[chosen]

            def read(start: int, stop: int) -> sp.csr_matrix:
                return rows.read(start, stop)[:, chosen]

    obs = pd.DataFrame(index=pd.Index(barcodes, dtype=object))
    return CountSource(str(path), obs, var, read, rows.close, rows.sequential)


def _beside(matrix: Path, names: tuple[str, ...]) -> Path:
    prefix = matrix.name.removesuffix(".gz").removesuffix(".mtx").removesuffix("matrix")
    candidates = [f"{prefix}{name}{suffix}" for name in names for suffix in ("", ".gz")]
    for name in candidates:
        if (matrix.parent / name).is_file():
            return matrix.parent / name
    raise FileNotFoundError(f"{matrix} has none of these beside it: {', '.join(candidates)}")


@contextmanager
def _bytes_of(path: Path, expected: str) -> Iterator[Any]:
    """A file's content, decompressed if need be; what goes wrong with gzip names the file."""
    start = first_bytes(path, expected)
    with gzip.open(path) if start.startswith(GZIP) else path.open("rb") as file:
        try:
            yield file
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is truncated or damaged: {error}. Fetch it again") from error


def _table(path: Path) -> pd.DataFrame:
    """A file of tab-separated texts without a header."""
    with _bytes_of(path, "tab-separated lines") as file:
        try:
            # No quotes and no missing values: a gene may be called NA.
            return pd.read_csv(
                file, sep="\t", header=None, dtype=str, quoting=3, na_filter=False, comment=None
            )
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no table of tab-separated texts: {error}") from error


def _header(path: Path) -> _Header:
    with _bytes_of(path, "a Matrix Market file") as file:
        kind = file.readline(200)
        if not kind.startswith(b"%%MatrixMarket"):
            raise ValueError(f"{path} starts with {kind[:40]!r}; expected {_EXPECTED}")
        words = kind.decode("latin-1").lower().split()[1:]
        if words[:2] != ["matrix", "coordinate"] or words[3:] != ["general"]:
            words = []
        if len(words) != 4 or words[2] not in _DTYPES:
            raise ValueError(
                f"{path} is a Matrix Market file of another kind: {kind.strip()!r}; expected "
                f"{_EXPECTED}, or real for integer"
            )
        lines, line = 2, file.readline()
        while line.startswith(b"%") or (line and not line.strip()):
            lines, line = lines + 1, file.readline()
        sizes = line.split()
        if len(sizes) != 3 or not all(size.isdigit() for size in sizes):
            raise ValueError(
                f"{path}: line {lines} is {line[:40]!r}; expected the numbers of rows, columns and "
                "entries"
            )
        rows, columns, entries = map(int, sizes)
        return _Header(rows, columns, entries, _DTYPES[words[2]], lines)


def _entries(path: Path, header: _Header) -> Iterator[Entries]:
    """Rows and columns, counted from 0, and values, some million a block."""
    found = 0
    with _bytes_of(path, "a Matrix Market file") as file:
        for _ in range(header.lines):
            file.readline()
        try:
            reader = pd.read_csv(
                file,
                # Pandas splits at a given character much faster than at any space.
                sep=_separator(path, header.lines),
                header=None,
                names=["row", "column", "value"],
                index_col=False,
                dtype={"row": np.int64, "column": np.int64, "value": header.dtype},
                chunksize=_BLOCK_LINES,
            )
            for block in reader:
                rows, columns = block["row"].to_numpy(), block["column"].to_numpy()
                _check_range(path, rows, columns, header)
                found += len(block)
                yield rows - 1, columns - 1, block["value"].to_numpy()
        except pd.errors.EmptyDataError:
            pass
        except (pd.errors.ParserError, ValueError, OverflowError) as error:
            if str(error).startswith(str(path)):
                raise
            raise ValueError(
                f"{path} is damaged: after {found} entries comes no row, column and value "
                f"({error}). Copy or download it again"
            ) from error
    if found != header.entries:
        raise ValueError(
            f"{path} is truncated or damaged: it has {found} entries, and its header says "
            f"{header.entries}. Fetch it again"
        )


def _separator(path: Path, header_lines: int) -> str:
    with _bytes_of(path, "a Matrix Market file") as file:
        for _ in range(header_lines):
            file.readline()
        line = file.readline().rstrip(b"\r\n")
    single = [sep for sep in (b" ", b"\t") if line.split(sep) == line.split()]
    return single[0].decode() if single and len(line.split()) == 3 else r"\s+"


def _check_range(path: Path, rows: np.ndarray, columns: np.ndarray, header: _Header) -> None:
    bad = (rows < 1) | (rows > header.rows) | (columns < 1) | (columns > header.columns)
    if bad.any():
        entry = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{path} is damaged: an entry is in row {rows[entry]} and column {columns[entry]}, "
            f"expected 1 to {header.rows} and 1 to {header.columns}. Copy or download it again"
        )
