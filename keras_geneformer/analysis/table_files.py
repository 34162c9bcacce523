"""Tables that are written piece by piece, whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pandas as pd


def check_table(output: str | os.PathLike[str], streamed: bool = False) -> Path:
    """The path of a table to write.

    Args:
        output: .parquet or .csv.
        streamed: pieces come one by one, for which there is parquet alone.

    Raises:
        ValueError: it ends in another suffix, or is a directory.
    """
    path = Path(output)
    suffixes = (".parquet",) if streamed else (".parquet", ".csv")
    if path.suffix not in suffixes or path.is_dir():
        raise ValueError(
            f"Received output={str(path)!r}; expected a file that ends in "
            f"{' or '.join(suffixes)}{' (a row of each gene of each cell)' if streamed else ''}."
        )
    return path


def write_tables(tables: Iterator[pd.DataFrame], path: Path) -> Path:
    """Writes tables of the same columns below each other, as they come.

    Args:
        tables: at least one; their index is not written.
        path: .parquet or .csv. It is replaced when all is written.

    Returns:
        `path`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.partial-{secrets.token_hex(4)}{path.suffix}")
    try:
        first = next(tables).rename(columns=str)
        if path.suffix == ".csv":
            pd.concat([first, *tables]).to_csv(beside, index=False)
        else:
            start = pa.Table.from_pandas(first, preserve_index=False)
            with pq.ParquetWriter(beside, start.schema) as writer:
                writer.write_table(start)
                for table in tables:
                    piece = table.rename(columns=str)
                    writer.write_table(
                        pa.Table.from_pandas(piece, schema=start.schema, preserve_index=False)
                    )
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path
