"""Which perturbed copies a cell has, as views into its tokens; nothing is computed here."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from keras_geneformer.analysis.perturbation.kinds import moved, new_ranks


@dataclass(frozen=True)
class Variants:
    """Perturbed copies of one cell that have one length and are compared with one original.

    `tokens` are those of the original, then those that are not in it. A variant is what `moves`
    leave at the first `length` places.
    """

    tokens: np.ndarray
    """(tokens,) int32."""
    original: int
    """How many of them are the original, cut so that it holds no gene that a variant has lost at
    the end."""
    length: int
    """Tokens of a variant."""
    moves: np.ndarray
    """(variants, moves, 2) int32."""
    perturbed: np.ndarray
    """(variants, genes) int64: where in `tokens` stand the genes perturbed together."""

    def __len__(self) -> int:
        return len(self.moves)

    def views(self, rows: slice) -> np.ndarray:
        """(variants of `rows`, length) int32: the places in `tokens` that they show."""
        return moved(self.moves[rows], len(self.tokens))[:, : self.length]


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """What is done to cells.

    Args:
        kind: as in `perturb`.
        targets: token ids, or None for all genes of each cell.
        together: all targets at once.
        combination: how many of the targets at once, each combination of them.
        anchor: token id of a gene perturbed beside each other one.
        rank_shift, quantiles, rank: as in `new_ranks`.
        special: token ids that are no genes.
        max_length: the most tokens a cell may have.
    """

    kind: str
    targets: np.ndarray | None
    special: np.ndarray
    max_length: int
    together: bool = False
    combination: int = 1
    anchor: int | None = None
    rank_shift: int = 1
    quantiles: int = 4
    rank: int | None = None

    def of(self, ids: np.ndarray, only: np.ndarray | None = None) -> Iterator[Variants]:
        """The perturbed copies of a cell.

        Args:
            ids: its tokens, int32.
            only: of all single genes those that stand at these places.

        Yields:
            Groups of variants; none where the cell is passed over.
        """
        genes = np.flatnonzero(~np.isin(ids, self.special))
        if self._passes_over(ids, genes):
            return
        present = self._present(ids, genes)
        if self.of_sets:
            yield from self._sets(ids, genes)
            return
        places = present if only is None else np.intersect1d(present, only)
        if self.kind == "delete":
            ends = np.full_like(places, len(ids) - 1)
        else:
            ranks = np.searchsorted(genes, places)
            ends = genes[self._new_ranks(ranks, len(genes))]
            places, ends = places[ends != places], ends[ends != places]
        if len(places):
            moves = np.stack([places, ends], axis=1).astype(np.int32)[:, None]
            length = len(ids) - (self.kind == "delete")
            yield Variants(ids, len(ids), length, moves, places[:, None].astype(np.int64))
        if self.kind == "overexpress" and self.targets is not None and only is None:
            absent = self.targets[~np.isin(self.targets, ids)]
            if len(absent):
                yield self._inserted_each(ids, genes, absent)

    def count(self, ids: np.ndarray) -> int:
        """How many perturbed copies a cell has."""
        if not self.of_sets:
            return sum(map(len, self.of(ids)))
        genes = np.flatnonzero(~np.isin(ids, self.special))
        return 0 if self._passes_over(ids, genes) else sum(1 for _ in self._token_sets(ids, genes))

    @property
    def of_sets(self) -> bool:
        """Whether several genes are perturbed at once."""
        return self.together or self.combination > 1 or self.anchor is not None

    def _passes_over(self, ids: np.ndarray, genes: np.ndarray) -> bool:
        if len(genes) < 2:
            return True
        if self.anchor is not None and self.anchor not in ids:
            return True
        if self.together and self.targets is not None and self.kind != "overexpress":
            return not np.isin(self.targets, ids).all() or len(genes) <= len(self.targets)
        return False

    def _present(self, ids: np.ndarray, genes: np.ndarray) -> np.ndarray:
        return genes if self.targets is None else genes[np.isin(ids[genes], self.targets)]

    def _new_ranks(self, ranks: np.ndarray, genes: int) -> np.ndarray:
        return new_ranks(
            ranks,
            genes,
            self.kind,
            rank_shift=self.rank_shift,
            quantiles=self.quantiles,
            rank=self.rank,
        )

    def _sets(self, ids: np.ndarray, genes: np.ndarray) -> Iterator[Variants]:
        """Several genes at once, grouped by how many of them the cell lacks."""
        by_absent: dict[int, list[tuple[int, ...]]] = {}
        for tokens in self._token_sets(ids, genes):
            absent = int((~np.isin(tokens, ids)).sum())
            by_absent.setdefault(absent, []).append(tokens)
        for absent, sets in sorted(by_absent.items()):
            if len(ids) + absent > self.max_length:
                # Each has to make room for itself, and so an original of its own.
                for tokens in sets:
                    yield self._set_group(ids, genes, absent, [tokens])
            else:
                yield self._set_group(ids, genes, absent, sets)

    def _set_group(
        self, ids: np.ndarray, genes: np.ndarray, absent: int, sets: list[tuple[int, ...]]
    ) -> Variants:
        kept = self._cut(ids, genes[~np.isin(ids[genes], sets)], absent)
        missing = np.setdiff1d(np.asarray(sets), ids)
        tokens = np.concatenate([kept, missing.astype(ids.dtype)])
        place = {int(token): number for number, token in enumerate(tokens)}
        perturbed = np.array([[place[token] for token in tokens] for tokens in sets])
        length = len(kept) + (-perturbed.shape[1] if self.kind == "delete" else absent)
        first = int(genes[0])
        moves = np.stack([self._moves(row, len(tokens), kept, first) for row in perturbed])
        return Variants(tokens, len(kept), length, moves, perturbed)

    def _token_sets(self, ids: np.ndarray, genes: np.ndarray) -> Iterator[tuple[int, ...]]:
        """The genes perturbed at once; those of which a cell keeps none are passed over."""
        targets = ids[genes] if self.targets is None else self.targets
        if self.kind != "overexpress":
            targets = targets[np.isin(targets, ids)]
        if self.anchor is not None:
            sets: Iterator[tuple[int, ...]] = (
                (self.anchor, int(token)) for token in targets if token != self.anchor
            )
        else:
            size = len(targets) if self.together else self.combination
            sets = (tuple(map(int, chosen)) for chosen in combinations(targets, size))
        for tokens in sets:
            if self.kind != "delete" or len(genes) > len(tokens):
                yield tokens

    def _moves(self, places: np.ndarray, total: int, kept: np.ndarray, first: int) -> np.ndarray:
        """One move for each gene of a set, (genes, 2) int32, from where it stands by then."""
        genes = int((~np.isin(kept, self.special)).sum())
        if self.kind == "delete":
            ends = {int(place): total - 1 for place in places}
            order = [int(place) for place in places]
        elif self.kind == "overexpress":
            # The last of the list goes to the front first, so that the first of it ends there.
            ends = {int(place): first for place in places}
            order = [int(place) for place in places[::-1]]
        else:
            ranks = self._new_ranks(np.asarray(places) - first, genes)
            ends = {int(p): first + int(r) for p, r in zip(places, ranks)}
            order = [int(place) for place in places]
        now = np.arange(total)
        moves = []
        for place in order:
            start = int(np.flatnonzero(now == place)[0])
            moves.append((start, ends[place]))
            now = np.insert(np.delete(now, start), ends[place], place)
        return np.array(moves, dtype=np.int32)

    def _cut(self, ids: np.ndarray, genes: np.ndarray, inserted: int) -> np.ndarray:
        """The cell without as many of the last of `genes` as do not fit beside those inserted."""
        over = max(0, len(ids) + inserted - self.max_length)
        return np.delete(ids, genes[len(genes) - over :]) if over else ids

    def _inserted_each(self, ids: np.ndarray, genes: np.ndarray, absent: np.ndarray) -> Variants:
        kept = self._cut(ids, genes, 1)
        tokens = np.concatenate([kept, absent.astype(ids.dtype)])
        places = len(kept) + np.arange(len(absent), dtype=np.int64)
        moves = np.stack([places, np.full_like(places, genes[0])], axis=1).astype(np.int32)
        return Variants(tokens, len(kept), len(kept) + 1, moves[:, None], places[:, None])
