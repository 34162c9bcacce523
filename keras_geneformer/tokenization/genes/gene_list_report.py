"""What became of the genes of a list: which were taken, and which were left out, and why."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class GeneListReport:
    """A list of genes with classes, as it was understood.

    Attributes:
        name: of the list: the file, or "the list".
        rows: rows of the list, or names of the dict.
        repeated: rows that name a gene again, in the same class; counted once.
        nameless: rows without a gene or without a class.
        in_two_classes: genes that stand in several classes, as `gene: class, class`; left out.
        unknown: genes that are not in the vocabulary; left out.
        absent: genes that no cell has; left out.
        taken: genes of each class that are left.

    Example:
        >>> print(GeneListReport("genes.csv", 3, repeated=1, taken={"a": 1, "b": 1}).text())
        genes.csv: 3 rows; taken: 1 a, 1 b
        repeated within a class, counted once: 1
    """

    name: str
    rows: int
    repeated: int = 0
    nameless: int = 0
    in_two_classes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    taken: dict[str, int] = field(default_factory=dict)

    def text(self, most: int | None = None) -> str:
        """Plain text, a line a finding.

        Args:
            most: genes that a line names; all of them by default.
        """
        taken = ", ".join(f"{number} {name}" for name, number in self.taken.items()) or "none"
        lines = [f"{self.name}: {self.rows} rows; taken: {taken}"]
        for what, number in (
            ("repeated within a class, counted once", self.repeated),
            ("without a gene or a class, left out", self.nameless),
        ):
            lines += [f"{what}: {number}"] if number else []
        for what, genes, separator in (
            ("in several classes, left out", self.in_two_classes, "; "),
            ("not in the vocabulary, left out", self.unknown, ", "),
            ("in none of the cells, left out", self.absent, ", "),
        ):
            named = separator.join(genes[:most]) + (
                f"{separator}…" if most is not None and genes[most:] else ""
            )
            lines += [f"{what}: {len(genes)} ({named})"] if genes else []
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()
