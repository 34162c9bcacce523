"""Reads tables about genes that users bring: biotypes, orthologs."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd


def read_gene_table(table: str | os.PathLike[str] | pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """A table as text, and its name for messages.

    Args:
        table: a DataFrame, or a file: `.csv`, `.tsv` or `.txt` (tabs), also gzipped, or `.parquet`.

    Returns:
        The table, every value a str, "" where there was none; and its name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no such table.
    """
    if isinstance(table, pd.DataFrame):
        frame, name = table, "the table"
    else:
        path, name = Path(table), str(table)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        tabs = any(suffix in (".tsv", ".txt") for suffix in path.suffixes)
        try:
            if path.suffix == ".parquet":
                frame = pd.read_parquet(path)
            else:
                frame = pd.read_csv(
                    path, sep="\t" if tabs else ",", dtype=str, keep_default_na=False
                )
        except (ValueError, OSError) as error:
            raise ValueError(
                f"{path} is no table of genes: {error}. Expected .csv, .tsv or .parquet"
            ) from error
    filled = frame.astype(object).where(frame.notna(), "").astype(str)
    return filled, name


def find_column(frame: pd.DataFrame, name: str, keys: Sequence[str]) -> int | None:
    """The number of the column that has the first of several names; None where it has none.

    Case and blanks around a header are ignored.

    Raises:
        ValueError: several columns have that name.
    """
    headers = [str(header).strip().casefold() for header in frame.columns]
    for key in keys:
        found = [i for i, header in enumerate(headers) if header == key.casefold()]
        if len(found) > 1:
            raise ValueError(f"{name} has {len(found)} columns {key!r}; expected one")
        if found:
            return found[0]
    return None


def require_columns(
    frame: pd.DataFrame, name: str, expected: Mapping[str, Sequence[str]]
) -> list[pd.Series]:
    """The columns of a table, each by the first of several names that it has (`find_column`).

    Args:
        frame: the table.
        name: of the table, for messages.
        expected: what each column holds, to the names it may have.

    Raises:
        ValueError: a column is missing, or there twice; says what the table has.
    """
    found = []
    for content, keys in expected.items():
        column = find_column(frame, name, keys)
        if column is None:
            raise ValueError(
                f"{name} has no column with {content}: expected {' or '.join(map(repr, keys))}; it "
                f"has {', '.join(map(str, frame.columns)) or 'none'}"
            )
        found.append(frame.iloc[:, column])
    return found
