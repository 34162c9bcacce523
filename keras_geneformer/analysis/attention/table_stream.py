"""A table written piece by piece, whole or not at all."""

import os
import secrets
from pathlib import Path
from types import TracebackType

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


class TableStream:
    """Writes pieces of a table to a parquet file, which has its name when all are written.

    Args:
        path: the .parquet file.

    Example:
        >>> with TableStream("pieces.parquet") as stream:  # doctest: +SKIP
        ...     stream.add(pd.DataFrame({"gene": ["a"], "value": [1.0]}))
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = self.path_of(path)
        self._beside = self.path.with_name(f".{self.path.stem}.partial-{secrets.token_hex(4)}")
        self._writer: pq.ParquetWriter | None = None

    @staticmethod
    def path_of(path: str | os.PathLike) -> Path:
        """The path, refused before any work is done where it does not end in .parquet."""
        value = Path(path)
        if value.suffix != ".parquet" or value.is_dir():
            raise ValueError(
                f"Received output={str(path)!r}; expected the path of a .parquet file."
            )
        return value

    def add(self, table: pd.DataFrame) -> None:
        """Write more rows, of the columns of the first."""
        piece = pa.Table.from_pandas(table, preserve_index=False)
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._beside, piece.schema)
        self._writer.write_table(piece)

    def __enter__(self) -> "TableStream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
                if kind is None:
                    os.replace(self._beside, self.path)
        finally:
            self._beside.unlink(missing_ok=True)
