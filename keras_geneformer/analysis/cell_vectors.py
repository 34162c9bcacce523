"""The pooled vectors of cells, batch by batch: what every embedding of cells begins with."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_geneformer.analysis.pooling import (
    check_pooling,
    gene_tokens,
    pool,
    pooled_states,
    special_ids,
)
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import compile_forward, inference_batches, run_batches
from keras_geneformer.models.backbone_of import backbone_in, backbone_of


class CellVectors:
    """One vector a cell, from a model's hidden states, in float64 and batch by batch.

    Everything is checked when it is made; nothing runs before `batches`.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        cells: a `CellDataset`.
        layer, pooling, batch_size, dtype: as in `embed_cells`.

    Attributes:
        cells: the cells.
        hidden_dim: the length of a vector.

    Raises:
        ValueError: the cells and the model do not go together, or there is no such layer, pooling
            or dtype.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> vectors = CellVectors(tiny_backbone(), synthetic_dataset(5))
        >>> sorted(row for rows, _ in vectors.batches() for row in rows.tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        model: Any,
        cells: Any,
        *,
        layer: int = -2,
        pooling: str = "mean",
        batch_size: int | None = None,
        dtype: str | None = None,
    ) -> None:
        backbone = backbone_in(backbone_of(model), dtype)
        self._model = pooled_states(backbone, layer, pooling)
        check_vocabulary(
            cells,
            backbone.vocabulary_checksum,
            backbone.vocabulary_size,
            backbone.max_sequence_length,
            backbone.special_token_ids,
        )
        self._special = special_ids(cells, backbone)
        check_pooling(cells, pooling, self._special)
        self._pooling = pooling
        self._plan = inference_batches(cells, batch_size, backbone.max_sequence_length)
        self.cells = cells
        self.hidden_dim: int = backbone.hidden_dim

    def batches(
        self, progress: bool = False, description: str = "embed"
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Runs the model, longest cells first, in an order that is the same every time.

        Args:
            progress: show a bar.
            description: of the bar.

        Yields:
            The rows of the batch's cells in the dataset, and their (B, hidden_dim) float64 vectors.
        """
        forward = compile_forward(self._model)
        for rows, inputs, states in run_batches(forward, self._plan, progress, description):
            genes = gene_tokens(inputs["token_ids"], inputs["padding_mask"], self._special)
            yield rows, pool(states, genes, self._pooling)
