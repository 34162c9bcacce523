"""What tokenizing cell sentences understood of its input, and what it dropped."""

from dataclasses import asdict, dataclass
from typing import Any

from keras_geneformer.tokenization.report import TokenizationReport


@dataclass(frozen=True)
class SentenceReport:
    """A table of cell sentences.

    Attributes:
        name: the files, or "sentences".
        cells: sentences in it.
        empty_cells: dropped because they have no words.
        unknown_cells: dropped because none of their words is a gene of the vocabulary.
        truncated_cells: kept with fewer genes than words, as the maximal length is reached.
        words: words of all sentences.
        known_words: those that are genes of the vocabulary.
        repeated_words: known ones left out, as the sentence names their gene before.
        distinct_words: different words.
        distinct_known: different words that are genes of the vocabulary.
        unknown_names: the ten most frequent unknown words.
        mode: "rank_value" or "rank_order".
        slope, intercept: of the rank model; None for "rank_order".
    """

    name: str
    cells: int
    empty_cells: int
    unknown_cells: int
    truncated_cells: int
    words: int
    known_words: int
    repeated_words: int
    distinct_words: int
    distinct_known: int
    unknown_names: tuple[str, ...]
    mode: str
    slope: float | None
    intercept: float | None

    @property
    def kept_cells(self) -> int:
        """Cells that became part of the dataset."""
        return self.cells - self.empty_cells - self.unknown_cells

    @property
    def dropped_cells(self) -> int:
        """Cells dropped because they hold nothing to rank."""
        return self.empty_cells + self.unknown_cells

    @property
    def known_share(self) -> float:
        """Share of the words that are genes of the vocabulary, 0 to 1."""
        return self.known_words / self.words if self.words else 0.0

    def summary(self) -> str:
        """One line for people."""
        parts = [
            f"{self.name}: {self.kept_cells} of {self.cells} cells tokenized",
            f"{self.distinct_known} of {self.distinct_words} different words known, "
            f"{self.known_share:.1%} of all words",
        ]
        noted = {
            "cells without words dropped": self.empty_cells,
            "cells without a known word dropped": self.unknown_cells,
            "cells cut at the maximal length": self.truncated_cells,
            "words left out as their gene stands before": self.repeated_words,
        }
        parts += [f"{number} {what}" for what, number in noted.items() if number]
        if self.unknown_names:
            parts.append(f"unknown first of all {', '.join(self.unknown_names[:5])}")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {"sentences": asdict(self)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "SentenceReport":
        """The report from `to_dict`, also after a trip through JSON."""
        fields = content["sentences"]
        return cls(**(fields | {"unknown_names": tuple(fields["unknown_names"])}))


def read_report(content: dict[str, Any]) -> "TokenizationReport | SentenceReport":
    """A report from its plain values, whichever it is."""
    kind = SentenceReport if "sentences" in content else TokenizationReport
    return kind.from_dict(content)
