"""Where results go: files whose suffix says what they hold, written whole or not at all."""

import argparse
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

TABLES = (".parquet", ".csv")

MARK = "keras_geneformer"
"""Key in `uns` of the AnnData files written here."""


def file_of(*suffixes: str) -> Callable[[str], Path]:
    """An argparse type: a path with one of these suffixes, refused before any work is done."""

    def path(text: str) -> Path:
        value = Path(text)
        if value.suffix not in suffixes:
            raise argparse.ArgumentTypeError(
                f"{text!r} ends in none of {', '.join(suffixes)}: the suffix says what is written"
            )
        if value.is_dir():
            raise argparse.ArgumentTypeError(f"{text!r} is a directory; expected a file")
        return value

    return path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and renames it when all is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.partial-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_table(table: pd.DataFrame, path: Path, *, index: bool = True) -> None:
    """Writes a table as parquet or csv, as the suffix says."""
    if not index:
        table = table.reset_index(drop=True)
    with written_whole(path) as beside:
        if path.suffix == ".parquet":
            table.rename(columns=str).to_parquet(beside, index=index)
        else:
            table.to_csv(beside, index=index)


def refuse_foreign_h5ad(path: Path) -> None:
    """Refuse to replace an AnnData file that was not written here: it may be somebody's counts."""
    if not path.exists():
        return
    import h5py

    try:
        with h5py.File(path) as file:
            ours = MARK in file.get("uns", ())
    except OSError:
        ours = False
    if not ours:
        raise FileExistsError(
            f"{path} exists and holds no embedding written by this command; it is left as it is. "
            "Choose another name"
        )


def write_adata(adata: Any, path: Path) -> None:
    """Writes an AnnData as h5ad."""
    with written_whole(path) as beside:
        adata.write_h5ad(beside)


def draw_or_say_why_not(draw: Callable[[], Any]) -> bool:
    """Draws pictures, or says on stdout that matplotlib is missing; returns whether it drew."""
    try:
        draw()
    except ImportError as error:
        print(f"no pictures: {error}")
        return False
    return True
