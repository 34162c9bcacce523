"""A screen of deletions in int8, on OpenVINO: all of them, at a part of the cost."""

from typing import Any

import numpy as np

from keras_geneformer.analysis.perturbation.batch_size import BatchSize
from keras_geneformer.analysis.perturbation.cell_effects import CellEffects
from keras_geneformer.analysis.perturbation.engine import VariantEngine, states_model
from keras_geneformer.analysis.perturbation.measures import cosine_defects, vector_defects
from keras_geneformer.analysis.perturbation.variants import Perturbation
from keras_geneformer.backend import require_backend
from keras_geneformer.compression.openvino_int8 import int8_graph
from keras_geneformer.compression.quantized_layers import is_quantized

CALIBRATION_CELLS = 32
"""Cells whose activations say how they are rounded to int8."""


class QuantizedScreen:
    """Scores every deletion of a cell with the network in int8.

    Weights and activations of the matrix products are rounded to 8 bits, as `int8_graph` does it,
    to ranges that some of the cells to be screened show.
    A deletion is compared with the cell as the same int8 network sees it, so that what rounding
    does to both cancels; what is left of it is noise, and the genes that come out on top are to be
    computed again in float32.

    Args:
        backbone: a `GeneformerBackbone`, on the openvino backend.
        cells: those to be screened, a `CellDataset`; 32 of them, drawn by `seed`, calibrate.
        layer, pooling: as in `perturb`.
        special: token ids that are no genes.
        states: (S, hidden_dim) float64; scores are then shifts towards the first.
        seed: of the draw.
        batch_size: copies a batch; by default as many as 8192 tokens hold.

    Raises:
        ValueError: another backend than openvino, or a model that is quantized already.
        ImportError: NNCF is not installed.
    """

    passes = 1.0
    """Passes through the network a deletion, in int8."""

    noise_floor: np.ndarray
    """(calibration cells,) float64: how far int8 alone moves each of them, nothing being deleted:
    1 minus the cosine, as `perturb` takes it, between the cell in int8 and in float32."""

    def __init__(
        self,
        backbone: Any,
        cells: Any,
        *,
        layer: int,
        pooling: str,
        special: np.ndarray,
        states: np.ndarray | None = None,
        seed: int = 0,
        batch_size: int | None = None,
    ) -> None:
        if require_backend() != "openvino":
            raise ValueError(
                "A screen in int8 needs the openvino backend, and this one is "
                f"{require_backend()!r}: set KERAS_BACKEND=openvino (or --backend openvino), or "
                'screen by "gradient".'
            )
        if is_quantized(backbone):
            raise ValueError(
                "The model is quantized: deletions by it are at the cost of a screen in int8. "
                "Perturb without a screen, or give the model in float."
            )
        from keras_geneformer.data.openvino_forward import graph_as_model, openvino_graph

        rows = np.random.default_rng(seed).permutation(len(cells))[:CALIBRATION_CELLS]
        sample = [np.asarray(cells[int(row)], dtype=np.int32) for row in np.sort(rows)]
        first = pooling != "mean"
        graph = openvino_graph(states_model(backbone, layer, first=first))
        read = {"layer": layer, "first": first, "special": special, "lengths": cells.lengths}
        exact = VariantEngine(backbone, **read)
        engine = VariantEngine(backbone, network=graph_as_model(quantized(graph, sample)), **read)
        self.noise_floor = np.array(
            [
                _effect(exact.original(ids), engine.original(ids), ~np.isin(ids, special), pooling)
                for ids in sample
            ]
        )
        self._effects = CellEffects(
            engine=engine,
            perturbation=Perturbation(
                kind="delete",
                targets=None,
                special=special,
                max_length=backbone.max_sequence_length,
            ),
            pooling=pooling,
            names=lambda tokens: np.asarray(tokens).astype(str).astype(object),
            batch_size=BatchSize(batch_size),
            states=None if states is None else states[:1],
            state_names=() if states is None else ("goal",),
        )

    def scores(self, ids: np.ndarray) -> np.ndarray:
        """How far deleting each token moves the cell, as int8 sees it.

        Args:
            ids: (N,) int32 tokens of a cell.

        Returns:
            (N,) float64: 1 minus the cosine that `perturb` gives, or with states the shift towards
            the first; larger moves more. NaN at special tokens.
        """
        ids = np.asarray(ids, dtype=np.int32)
        scores = np.full(len(ids), np.nan)
        effects = self._effects.of("", ids)
        genes = ~np.isin(ids, self._effects.perturbation.special)
        if len(effects):
            if self._effects.states is not None:
                shifts = effects["measure"] == "state_shift"
                scores[genes] = effects.loc[shifts, "value"]
            else:
                scores[genes] = 1.0 - effects["value"]
        return scores


def quantized(graph: Any, sample: list[np.ndarray]) -> Any:
    """A graph of token ids with its matrix products in int8, calibrated on cells."""
    return int8_graph(graph, [{"token_ids": ids[None]} for ids in sample])


def _effect(before: np.ndarray, after: np.ndarray, genes: np.ndarray, pooling: str) -> float:
    """1 minus the published cosine between a cell's states before and after."""
    if pooling != "mean":
        return float(vector_defects(before[0].astype(np.float64), after)[0])
    before, after = before[genes].astype(np.float64), after[genes]
    change = after - before
    products = (change * before).sum(-1)
    return float(cosine_defects((change**2).sum(-1), products, (before**2).sum(-1)).mean())
