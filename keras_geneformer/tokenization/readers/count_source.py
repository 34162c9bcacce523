"""What every reader gives: cells by genes, whose rows can be read a range at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import scipy.sparse as sp

ReadRows = Callable[[int, int], sp.csr_matrix]


def nothing_to_close() -> None:
    """For sources that hold nothing open."""


@dataclass(frozen=True)
class CountSource:
    """Cells by genes, whose rows can be read a range at a time.

    Attributes:
        name: for messages: the file, or "adata".
        obs: what is known of each cell, one row a cell.
        var: what is known of each gene, one row a column of the matrix.
        read: gives rows `start` to `stop` as a CSR matrix of shape (stop - start, genes).
        close: releases the file, and removes a scratch copy.
        sequential: the first read makes a scratch copy of the whole matrix, so one process
            should read all its rows, in their order.
    """

    name: str
    obs: pd.DataFrame
    var: pd.DataFrame
    read: ReadRows
    close: Callable[[], None]
    sequential: bool = False

    def __len__(self) -> int:
        return len(self.obs)

    def chunks(self, cells: int) -> Iterator[tuple[int, sp.csr_matrix]]:
        """The whole matrix, `cells` rows at a time, each with the number of its first row."""
        for start in range(0, len(self), cells):
            yield start, self.read(start, min(start + cells, len(self)))


@dataclass(frozen=True)
class RowReader:
    """Rows of one matrix of a file: what a `CountSource` has of it (see there)."""

    read: ReadRows
    close: Callable[[], None] = nothing_to_close
    sequential: bool = False


def missing_layer(name: str, layer: str | None, layers: list[str]) -> str:
    """The message for a layer, or an X where `layer` is None, that is not there."""
    there = ", ".join(layers)
    if layer is None:
        return f"{name} has no X; " + (f"give layer= one of: {there}" if there else "nor any layer")
    return f"{name} has no layer {layer!r}; it has {there or 'no layers'}"
