"""What tokenizing understood of its input, and what it dropped."""

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class SourceReport:
    """One AnnData or file.

    Attributes:
        name: the file, or "adata".
        cells: cells in it.
        filtered_cells: left out because `obs["filter_pass"]` is not 1.
        zero_cells: dropped because all their counts are zero.
        unknown_cells: dropped because they have counts, but of no gene of the vocabulary.
        truncated_cells: kept with fewer genes than detected, as the maximal length is reached.
        dropped_names: names of the zero and unknown cells.
        genes: columns of the count matrix.
        known_genes: columns with a gene of the vocabulary.
        nameless_genes: columns whose id is empty.
        summed_genes: columns summed into another one of the same gene.
        gene_key: the var column the ids came from, or "var_names".
        n_counts_key: the obs column of the cells' total counts; None where they were summed.
        total_counts: all counts of the cells kept or of no known gene.
        known_counts: those of genes of the vocabulary.
    """

    name: str
    cells: int
    filtered_cells: int
    zero_cells: int
    unknown_cells: int
    truncated_cells: int
    dropped_names: tuple[str, ...]
    genes: int
    known_genes: int
    nameless_genes: int
    summed_genes: int
    gene_key: str
    n_counts_key: str | None
    total_counts: float
    known_counts: float

    @property
    def kept_cells(self) -> int:
        """Cells that became part of the dataset."""
        return self.cells - self.filtered_cells - self.zero_cells - self.unknown_cells

    @property
    def known_share(self) -> float:
        """Share of the counts that belong to genes of the vocabulary, 0 to 1."""
        return self.known_counts / self.total_counts if self.total_counts else 0.0

    def summary(self) -> str:
        """One line for people."""
        parts = [
            f"{self.name}: {self.kept_cells} of {self.cells} cells tokenized",
            f"{self.known_genes} of {self.genes} genes known with {self.known_share:.1%} of counts",
        ]
        noted = {
            "cells without filter_pass": self.filtered_cells,
            "cells without counts dropped": self.zero_cells,
            "cells without a known gene dropped": self.unknown_cells,
            "cells cut at the maximal length": self.truncated_cells,
            "genes without an id": self.nameless_genes,
            "columns summed into their gene": self.summed_genes,
        }
        return "; ".join(parts + [f"{number} {what}" for what, number in noted.items() if number])

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "SourceReport":
        """The report from its fields, also after a trip through JSON."""
        return cls(**(content | {"dropped_names": tuple(content["dropped_names"])}))


def joined_reports(parts: list[SourceReport]) -> SourceReport:
    """The report of a source from those of its parts, in order."""
    cells = ("cells", "filtered_cells", "zero_cells", "unknown_cells", "truncated_cells")
    added = (*cells, "total_counts", "known_counts")
    sums = {name: sum(getattr(part, name) for part in parts) for name in added}
    names = tuple(name for part in parts for name in part.dropped_names)
    return replace(parts[0], dropped_names=names, **sums)


@dataclass(frozen=True)
class BrokenFile:
    """A file that could not be read to its end, of which nothing was taken.

    Attributes:
        name: of the file.
        error: what is wrong with it.
    """

    name: str
    error: str


@dataclass(frozen=True)
class TokenizationReport:
    """What tokenizing understood and dropped.

    Attributes:
        sources: source by source.
        broken: files that were left out.
    """

    sources: tuple[SourceReport, ...]
    broken: tuple[BrokenFile, ...] = ()

    @property
    def cells(self) -> int:
        """Cells in all sources."""
        return sum(source.cells for source in self.sources)

    @property
    def kept_cells(self) -> int:
        """Cells that became part of the dataset."""
        return sum(source.kept_cells for source in self.sources)

    @property
    def zero_cells(self) -> int:
        """Cells dropped because all their counts are zero."""
        return sum(source.zero_cells for source in self.sources)

    @property
    def unknown_cells(self) -> int:
        """Cells dropped because none of their genes is in the vocabulary."""
        return sum(source.unknown_cells for source in self.sources)

    @property
    def dropped_cells(self) -> int:
        """Cells dropped because they hold nothing to rank: zero and unknown ones."""
        return self.zero_cells + self.unknown_cells

    @property
    def filtered_cells(self) -> int:
        """Cells left out because `obs["filter_pass"]` is not 1."""
        return sum(source.filtered_cells for source in self.sources)

    @property
    def known_share(self) -> float:
        """Share of the counts that belong to genes of the vocabulary, 0 to 1."""
        total = sum(source.total_counts for source in self.sources)
        return sum(source.known_counts for source in self.sources) / total if total else 0.0

    def summary(self) -> str:
        """A line for each source."""
        lines = [source.summary() for source in self.sources]
        return "\n".join(lines + [f"left out: {file.error}" for file in self.broken])

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "TokenizationReport":
        """The report from `to_dict`, also after a trip through JSON."""
        sources = map(SourceReport.from_dict, content["sources"])
        return cls(tuple(sources), tuple(BrokenFile(**file) for file in content.get("broken", ())))
