"""The pooled vectors of cells, batch by batch: what every embedding of cells begins with."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_geneformer.analysis.pooling import (
    POOLINGS,
    check_pooling,
    gene_tokens,
    pool,
    pooled_states,
    special_ids,
)
from keras_geneformer.analysis.received_attention import (
    pool_by_attention,
    received_attention_model,
)
from keras_geneformer.analysis.trained_attention import trained_attention_model
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import compile_forward, inference_batches, run_batches
from keras_geneformer.models.backbone_of import backbone_of, model_in

CELL_POOLINGS = (*POOLINGS, "attention", "trained_attention")


class CellVectors:
    """One vector a cell, from a model's hidden states, in float64 and batch by batch.

    Everything is checked when it is made; nothing runs before `batches`.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        cells: a `CellDataset`.
        layer, pooling, task, batch_size, dtype: as in `embed_cells`.

    Attributes:
        cells: the cells.
        hidden_dim: the length of a vector.
        backbone: the model's.
        network: what runs: a `keras.Model` without what lies above the layer.

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
        task: str | None = None,
        batch_size: int | None = None,
        dtype: str | None = None,
    ) -> None:
        if pooling not in CELL_POOLINGS:
            raise ValueError(
                f"Received pooling={pooling!r}; expected one of {', '.join(CELL_POOLINGS)}."
            )
        if pooling == "trained_attention":
            self.backbone, self.network = trained_attention_model(model, task, layer, dtype)
        else:
            self.backbone = model_in(backbone_of(model), dtype)
            if pooling == "attention":
                self.network = received_attention_model(self.backbone, layer)
            else:
                self.network = pooled_states(self.backbone, layer, pooling)
        longest = self.backbone.max_sequence_length
        check_vocabulary(
            cells,
            self.backbone.vocabulary_checksum,
            self.backbone.vocabulary_size,
            longest,
            self.backbone.special_token_ids,
        )
        self._special = special_ids(cells, self.backbone)
        check_pooling(cells, pooling if pooling in POOLINGS else "mean", self._special)
        self._pooling = pooling
        self._plan = inference_batches(cells, batch_size, longest)
        self.cells = cells
        self.hidden_dim: int = self.backbone.hidden_dim

    def __len__(self) -> int:
        return len(self._plan)

    def batches(
        self, progress: bool = False, description: str = "embed", start: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Runs the model, longest cells first, in an order that is the same every time.

        Args:
            progress: show a bar.
            description: of the bar.
            start: the first batch that is run.

        Yields:
            The rows of the batch's cells in the dataset, and their (B, hidden_dim) float64 vectors.
        """
        forward = compile_forward(self.network)
        for rows, inputs, states in run_batches(forward, self._plan, progress, description, start):
            yield rows, self._pooled(inputs, states)

    def _pooled(self, inputs: dict[str, np.ndarray], states: np.ndarray) -> np.ndarray:
        if self._pooling == "trained_attention":
            return states.astype(np.float64)
        genes = gene_tokens(inputs["token_ids"], inputs["padding_mask"], self._special)
        if self._pooling == "attention":
            return pool_by_attention(states, genes)
        return pool(states, genes, self._pooling)
