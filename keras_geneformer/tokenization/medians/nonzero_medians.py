"""The nonzero median of each gene, of any number of cells in bounded memory."""

import numba
import numpy as np
from crick import TDigest

EXACT_VALUES = 3_000_000
"""Values held one by one, of all genes together: corpora of no more are fitted exactly."""

RANK_ERROR = 0.01
"""How far from one half the rank of a sketched median may lie (see `NonzeroMedians`)."""

_COMPRESSION = 160
_CENTROIDS = np.dtype([("mean", np.float64), ("weight", np.float64)])
_State = tuple[np.ndarray, float, float, float]


class NonzeroMedians:
    """Collects the values of numbered genes; gives the median of each.

    Values are held one by one, and their medians are exact, until there are more than
    `exact_values` of all genes together. Then the values of the genes that hold most go into
    t-digests, one a gene, until half of that number is left. So a rare gene stays exact in a
    large corpus, and memory is bounded by the number of genes: about 4 KB a gene with a t-digest
    and 12 bytes a value held.

    A t-digest of compression 160 has, at the middle, centroids of at most pi / 320 = 0.98% of the
    values (its scale function is an arc sine), and interpolates between them. The median it gives
    has therefore at most 51% of the gene's values below it and at most 51% above it: that is
    `RANK_ERROR`. It is the bound of a digest made of sorted values; after merging it is no
    theorem, but tested: over skewed, drifting, tied and bimodal values the error that was seen
    stayed below 0.15%, and below 0.75% where the median falls into a gap between the values. For
    12,635 genes of real cells (pbmc3k, sketched after 50,000 values) the medians differ from the
    exact ones by less than 0.08% in nine of ten genes, by less than 0.7% in 999 of 1,000, and by
    3.4% in the worst.

    The result depends on the order of updates and merges where there are t-digests, and on
    nothing else: the same values in the same order give the same bits.

    Args:
        exact_values: 1 or more.

    Attributes:
        detected: in how many cells each gene was, shape (genes,), int64.
        sketches: the state of the t-digest of each gene that has one, by the gene's number: its
            centroids, their total weight, the smallest and the largest value. These take a
            quarter of the memory of the object.

    Example:
        >>> medians = NonzeroMedians()
        >>> medians.update(np.array([0, 2, 0, 2, 2]), np.array([1.0, 8.0, 3.0, 4.0, 5.0]))
        >>> medians.medians()
        array([ 2., nan,  5.])

    Source: Dunning and Ertl, "Computing extremely accurate quantiles using t-digests" (2019).
    """

    def __init__(self, exact_values: int = EXACT_VALUES) -> None:
        if exact_values < 1:
            raise ValueError(f"exact_values is {exact_values}; expected 1 or more")
        self.exact_values = exact_values
        self.detected = np.zeros(0, dtype=np.int64)
        self.sketches: dict[int, _State] = {}
        self._genes: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self._held = 0

    def update(self, genes: np.ndarray, values: np.ndarray) -> None:
        """Add values above zero, one a cell in which the gene is detected.

        Args:
            genes: the number of each value's gene, from 0, shape (E,).
            values: shape (E,), finite.
        """
        if not len(genes):
            return
        self._count(np.bincount(genes))
        self._hold(genes, values)

    def merge(self, other: "NonzeroMedians", numbers: np.ndarray) -> None:
        """Add what another has collected.

        Args:
            other: stays as it is.
            numbers: for each gene of `other`, its number here, no number twice.
        """
        numbers = np.asarray(numbers, dtype=np.int64)
        detected = np.zeros(numbers.max(initial=-1) + 1, dtype=np.int64)
        detected[numbers[: len(other.detected)]] = other.detected
        self._count(detected)
        for gene, state in other.sketches.items():
            number = int(numbers[gene])
            if number in self.sketches:
                sketch = _restored(self.sketches[number])
                sketch.merge(_restored(state))
                state = _state(sketch)
            self.sketches[number] = state
        for genes, values in zip(other._genes, other._values):
            self._hold(numbers[genes], values)

    def medians(self) -> np.ndarray:
        """The median of each gene, NaN where it has no value, shape (genes,), float64."""
        medians = np.full(len(self.detected), np.nan)
        values, bounds = self._by_gene()
        for gene in np.flatnonzero(self.detected).tolist():
            held = values[bounds[gene] : bounds[gene + 1]]
            if gene in self.sketches:
                medians[gene] = self._sketched(gene, held).quantile(0.5)
            else:
                medians[gene] = np.median(held)
        return medians

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that was collected, as arrays (see `from_arrays`)."""
        sketched = sorted(self.sketches)
        states = [self.sketches[gene] for gene in sketched]
        centroids = [state[0] for state in states]
        return {
            "exact_values": np.array(self.exact_values, dtype=np.int64),
            "detected": self.detected,
            "held_genes": np.concatenate([np.zeros(0, dtype=np.int32), *self._genes]),
            "held_values": np.concatenate([np.zeros(0), *self._values]),
            "sketched_genes": np.array(sketched, dtype=np.int64),
            "sketch_sizes": np.array([len(each) for each in centroids], dtype=np.int64),
            "sketch_ranges": np.array([state[1:] for state in states]).reshape(-1, 3),
            "sketch_means": np.concatenate([np.zeros(0), *(each["mean"] for each in centroids)]),
            "sketch_weights": np.concatenate(
                [np.zeros(0), *(each["weight"] for each in centroids)]
            ),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "NonzeroMedians":
        """What `arrays` gave, collected again."""
        collected = cls(int(arrays["exact_values"]))
        collected._count(arrays["detected"])
        collected._hold(arrays["held_genes"], arrays["held_values"])
        means, weights = arrays["sketch_means"], arrays["sketch_weights"]
        if arrays["sketch_sizes"].max(initial=0) > 2 * _COMPRESSION:
            raise ValueError("a sketch has more centroids than its compression allows")
        centroids = np.empty(len(means), dtype=_CENTROIDS)
        centroids["mean"], centroids["weight"] = means, weights
        ends = np.cumsum(arrays["sketch_sizes"]).tolist()
        ranges = arrays["sketch_ranges"].tolist()
        genes = arrays["sketched_genes"].tolist()
        for gene, start, end, (weight, least, most) in zip(genes, [0, *ends], ends, ranges):
            collected.sketches[gene] = (centroids[start:end].copy(), weight, least, most)
        return collected

    def _count(self, detected: np.ndarray) -> None:
        longer = np.zeros(max(len(self.detected), len(detected)), dtype=np.int64)
        longer[: len(self.detected)] = self.detected
        longer[: len(detected)] += detected
        self.detected = longer

    def _hold(self, genes: np.ndarray, values: np.ndarray) -> None:
        # Sketching leaves half of the room: what comes in goes by pieces that fit into the other.
        room = max(self.exact_values // 2, 1)
        for start in range(0, len(genes), room):
            piece = slice(start, start + room)
            if self._held + len(genes[piece]) > self.exact_values:
                self._sketch_most()
            self._genes.append(genes[piece].astype(np.int32))
            self._values.append(values[piece].astype(np.float64))
            self._held += len(self._values[-1])

    def _sketch_most(self) -> None:
        """Sketch the genes with most values held, until half of `exact_values` is left."""
        values, bounds = self._by_gene()
        held = np.diff(bounds)
        most = np.argsort(-held, kind="stable")
        left = self._held - np.cumsum(held[most])
        chosen = most[: int(np.searchsorted(-left, -(self.exact_values // 2))) + 1]
        for gene in chosen.tolist():
            sketch = self._sketched(gene, values[bounds[gene] : bounds[gene + 1]])
            self.sketches[gene] = _state(sketch)
        kept = np.ones(len(held), dtype=bool)
        kept[chosen] = False
        genes = np.flatnonzero(kept).astype(np.int32)
        self._genes = [np.repeat(genes, held[kept])]
        self._values = [values[np.repeat(kept, held)]]
        self._held = len(self._values[0])

    def _sketched(self, gene: int, held: np.ndarray) -> TDigest:
        """The t-digest of a gene with the values held added; what is collected stays as it is."""
        state = self.sketches.get(gene)
        sketch = TDigest(_COMPRESSION) if state is None else _restored(state)
        sketch.update(held)
        return sketch

    def _by_gene(self) -> tuple[np.ndarray, np.ndarray]:
        """The values held, gene after gene, and where those of each gene begin."""
        held = np.zeros(len(self.detected), dtype=np.int64)
        for genes in self._genes:
            held += np.bincount(genes, minlength=len(held))
        bounds = np.concatenate([[0], np.cumsum(held)])
        grouped, next_places = np.empty(bounds[-1]), bounds[:-1].copy()
        for genes, values in zip(self._genes, self._values):
            _place(genes, values, next_places, grouped)
        return grouped, bounds


@numba.njit(nogil=True, cache=True)
def _place(genes, values, next_places, grouped):
    """Put each value where the next one of its gene belongs."""
    for i in range(len(genes)):
        gene = genes[i]
        grouped[next_places[gene]] = values[i]
        next_places[gene] += 1


def _state(sketch: TDigest) -> _State:
    # What crick's t-digest gives to pickle: (compression,) to make it anew, then its state.
    return sketch.__reduce__()[2]


def _restored(state: _State) -> TDigest:
    sketch = TDigest(_COMPRESSION)
    sketch.__setstate__(state)
    return sketch
