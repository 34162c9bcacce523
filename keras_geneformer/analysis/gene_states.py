"""The hidden states of genes in cells, batch by batch, and where they gather."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from keras_geneformer.analysis.pooling import special_ids
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import compile_forward, inference_batches, run_batches
from keras_geneformer.models.backbone_of import backbone_of, model_in


class GeneTokens(NamedTuple):
    """Genes in the cells of a batch, ordered by cell and then by rank."""

    cells: np.ndarray
    """(n,) row of the cell in the dataset."""
    tokens: np.ndarray
    """(n,) token id."""
    states: np.ndarray
    """(n, hidden_dim) float32."""


class GeneStates:
    """The hidden states of the genes of cells.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        cells: a `CellDataset`.
        layer, dtype, batch_size: as in `embed_cells`.
        tokens: the token ids wanted; None for all genes.
        special: special tokens come too.
        in_order: cells come in the order of the dataset, else the longest first.

    Raises:
        ValueError: whatever `embed_cells` refuses of cells, model and layer.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> cells = synthetic_dataset(3)
        >>> genes = next(GeneStates(tiny_backbone(), cells).batches())
        >>> len(genes.tokens) == cells.lengths.sum(), genes.states.shape[1]
        (np.True_, 32)
    """

    def __init__(
        self,
        model: Any,
        cells: Any,
        *,
        layer: int = -2,
        dtype: str | None = None,
        batch_size: int | None = None,
        tokens: np.ndarray | None = None,
        special: bool = False,
        in_order: bool = False,
    ) -> None:
        backbone = model_in(backbone_of(model), dtype)
        self._model = backbone.hidden_state_model(layer)
        check_vocabulary(
            cells,
            backbone.vocabulary_checksum,
            backbone.vocabulary_size,
            backbone.max_sequence_length,
            backbone.special_token_ids,
        )
        self.hidden_dim: int = backbone.hidden_dim
        self.wanted = np.zeros(backbone.vocabulary_size, dtype=bool)
        self.wanted[slice(None) if tokens is None else tokens] = True
        if not special:
            self.wanted[special_ids(cells, backbone)] = False
        self._batches = inference_batches(cells, batch_size, backbone.max_sequence_length, in_order)

    def batches(self, progress: bool = False) -> Iterator[GeneTokens]:
        """Runs the model.

        Args:
            progress: show a bar.

        Yields:
            The genes of each batch.
        """
        forward = compile_forward(self._model)
        for rows, inputs, states in run_batches(forward, self._batches, progress, "embed genes"):
            ids = inputs["token_ids"]
            cell, place = np.nonzero((inputs["padding_mask"] != 0) & self.wanted[ids])
            yield GeneTokens(rows[cell], ids[cell, place], states[cell, place])


class GenePlaces:
    """A place for each gene of each group of cells, and how many cells there have it.

    Args:
        cells: a `CellDataset`.
        groups: (cells,) the group of each cell, from 0; -1 for none.
        number: of groups.
        wanted: (vocabulary,) whether a token counts.

    Attributes:
        group, token: (places,) int64, ordered by group and then by token.
        counts: (places,) int64: cells of the group that have the gene.
    """

    def __init__(self, cells: Any, groups: np.ndarray, number: int, wanted: np.ndarray) -> None:
        self._groups, size = groups, len(wanted)
        counts = np.zeros((number, size), dtype=np.int64)
        start = 0
        for ids, offsets in cells.token_lists.pieces():
            stop = start + len(offsets) - 1
            group = np.repeat(groups[start:stop], np.diff(offsets))
            kept = (group >= 0) & wanted[ids]
            flat = group[kept] * size + ids[kept]
            counts += np.bincount(flat, minlength=number * size).reshape(number, size)
            start = stop
        self.group, self.token = np.nonzero(counts)
        self.counts = counts[self.group, self.token]
        self._place = np.full(counts.shape, -1, dtype=np.int64)
        self._place[self.group, self.token] = np.arange(len(self.counts))

    def of(self, genes: GeneTokens) -> tuple[np.ndarray, np.ndarray]:
        """The places of the genes of a batch, ascending, and their states in that order."""
        groups = self._groups[genes.cells]
        places = np.where(groups >= 0, self._place[groups, genes.tokens], -1)
        order = np.argsort(places, kind="stable")
        order = order[np.searchsorted(places[order], 0) :]
        return places[order], genes.states[order]


def mean_states(source: GeneStates, places: GenePlaces, progress: bool) -> np.ndarray:
    """The mean state of each place, (places, hidden_dim) float64, summed as cells come."""
    sums = np.zeros((len(places.counts), source.hidden_dim))
    for genes in source.batches(progress):
        ordered, states = places.of(genes)
        there, index = np.unique(ordered, return_inverse=True)
        shape = (len(there), len(ordered))
        which = sp.csr_matrix((np.ones(len(ordered)), (index, np.arange(len(ordered)))), shape)
        sums[there] += which @ states.astype(np.float64)
    return sums / places.counts[:, None]
