"""Scores of genes, averaged over the cells that hold them as these go by."""

from typing import Any

import numpy as np

from keras_geneformer.data.inference import (
    Forward,
    compile_forward,
    inference_batches,
    run_batches,
)


class GeneScores:
    """Sums over cells of each gene's class probabilities: nothing is kept a cell.

    Args:
        tokens: (G,) token ids of the genes, distinct.
        size: number of token ids of the vocabulary.
        num_classes: of the scores.
        keep_positions: keep the last class's probability at every position of these genes as well
            (4 bytes a position), in `positions`.

    Attributes:
        cells: (G,) int64, cells that held each gene so far.

    Example:
        >>> scores = GeneScores(np.array([7, 5]), 10, 2)
        >>> scores.add(np.array([[5, 7], [0, 5]]), np.zeros((2, 2, 2)))
        >>> scores.cells.tolist(), scores.mean()[1].tolist()
        ([1, 2], [0.5, 0.5])
    """

    def __init__(
        self, tokens: np.ndarray, size: int, num_classes: int, keep_positions: bool = False
    ) -> None:
        self._place = np.full(size, -1, dtype=np.int64)
        self._place[tokens] = np.arange(len(tokens))
        self.cells = np.zeros(len(tokens), dtype=np.int64)
        self._sum = np.zeros((len(tokens), num_classes))
        self._squares = np.zeros((len(tokens), num_classes))
        self._positions: list[tuple[np.ndarray, np.ndarray]] | None = [] if keep_positions else None

    def add(self, token_ids: np.ndarray, scores: np.ndarray) -> None:
        """Take up a batch.

        Args:
            token_ids: (B, N).
            scores: (B, N, classes), before softmax.
        """
        place = self._place[token_ids]
        wanted = place >= 0
        genes = place[wanted]
        chosen = scores[wanted].astype(np.float64)
        exponents = np.exp(chosen - chosen.max(axis=1, keepdims=True, initial=-np.inf))
        probabilities = exponents / exponents.sum(axis=1, keepdims=True)
        number = len(self.cells)
        self.cells += np.bincount(genes, minlength=number)
        for index in range(self._sum.shape[1]):
            column = probabilities[:, index]
            self._sum[:, index] += np.bincount(genes, column, number)
            self._squares[:, index] += np.bincount(genes, column**2, number)
        if self._positions is not None:
            self._positions.append(
                (genes.astype(np.int32), probabilities[:, -1].astype(np.float32))
            )

    def mean(self) -> np.ndarray:
        """(G, classes) mean probability over cells; NaN for genes in no cell."""
        with np.errstate(invalid="ignore"):
            return self._sum / self.cells[:, None]

    def deviation(self) -> np.ndarray:
        """(G, classes) standard deviation over cells (of all of them, not of a sample)."""
        with np.errstate(invalid="ignore"):
            mean_square = self._squares / self.cells[:, None]
        return np.sqrt(np.maximum(mean_square - self.mean() ** 2, 0.0))

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Number of the gene, and the probability of the last class, at every position kept."""
        kept = self._positions or [(np.zeros(0, np.int32), np.zeros(0, np.float32))]
        return np.concatenate([part[0] for part in kept]), np.concatenate([p[1] for p in kept])


def holding(cells: Any, tokens: np.ndarray, size: int) -> np.ndarray:
    """Which cells hold any of some token ids, read piece by piece.

    Args:
        cells: a `CellDataset`.
        tokens: token ids.
        size: number of token ids of the vocabulary.

    Returns:
        (cells,) bool.
    """
    wanted = np.zeros(size, dtype=bool)
    wanted[tokens] = True
    parts = []
    for token_ids, offsets in cells.token_lists.pieces():
        hits = np.concatenate([[0], np.cumsum(wanted[token_ids])])
        parts.append(hits[offsets[1:]] > hits[offsets[:-1]])
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)


def score_genes(
    classifier: Any,
    cells: Any,
    tokens: np.ndarray,
    *,
    batch_size: int | None = None,
    keep_positions: bool = False,
    progress: bool = False,
    description: str = "predict",
    forward: Forward | None = None,
) -> GeneScores:
    """What a gene classifier says of genes in every cell that holds any of them.

    Args:
        classifier: a `GeneformerGeneClassifier`.
        cells: a `CellDataset` of its vocabulary.
        tokens: (G,) token ids of the genes.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        keep_positions: as in `GeneScores`.
        progress: show a bar.
        description: of the bar.
        forward: the classifier, compiled (`compile_forward`); compiled here by default.
    """
    backbone = classifier.backbone
    scores = GeneScores(tokens, backbone.vocabulary_size, classifier.num_classes, keep_positions)
    chosen = holding(cells, tokens, backbone.vocabulary_size)
    if not chosen.any():
        return scores
    batches = inference_batches(cells.subset(chosen), batch_size, backbone.max_sequence_length)
    forward = compile_forward(classifier) if forward is None else forward
    for _, inputs, output in run_batches(forward, batches, progress, description):
        scores.add(inputs["token_ids"], output)
    return scores
